// Texts of form fields as values of a start request. Pure.

/** A field of the form is wrong; the message says what to do. */
export class FormError extends Error {
  /** field: name of the request's field, if it is one of those */
  constructor(message, field = "") {
    super(message);
    this.field = field;
  }
}

/**
 * The value of a field, or undefined where nothing was chosen. Throws FormError.
 *
 * field: as `GET /options` describes it; text: what stands in the form
 */
export function readValue(field, text) {
  const given = text.trim();
  if (given === "") return undefined;
  switch (field.kind) {
    case "boolean": return given === "true";
    case "integer":
    case "number": return readNumber(field, given);
    case "json": return readJson(field.name, given);
    default: return readText(field, given);
  }
}

function readNumber({ name, kind, minimum, maximum }, text) {
  const value = Number(text);
  const isFine = Number.isFinite(value) && (kind === "number" || Number.isInteger(value));
  const isWithin = (minimum === null || value >= minimum) && (maximum === null || value <= maximum);
  if (isFine && isWithin) return value;
  const range = [minimum === null ? "" : ` from ${minimum}`, maximum === null ? "" : ` to ${maximum}`].join("");
  throw new FormError(`${name}: ${kind === "integer" ? "a whole number" : "a number"}${range}.`, name);
}

/** A structured value. Throws FormError with the place of the mistake, as far as the browser tells it. */
export function readJson(name, text) {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new FormError(`${name}: this is not JSON: ${error.message}`, name);
  }
}

function readText({ name, pattern, max_length: most }, text) {
  if (most !== null && text.length > most) throw new FormError(`${name}: at most ${most} characters, these are ${text.length}.`, name);
  if (pattern !== null && !matches(pattern, text)) throw new FormError(`${name}: it does not fit the pattern ${pattern}.`, name);
  return text;
}

function matches(pattern, text) {
  try {
    return new RegExp(pattern, "u").test(text);
  } catch {
    return true; // a pattern of another dialect: the server decides
  }
}

/** Join two values field by field; what `upper` has counts. */
export function merged(lower, upper) {
  const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
  if (!isObject(lower) || !isObject(upper)) return upper ?? lower;
  const names = new Set([...Object.keys(lower), ...Object.keys(upper)]);
  return Object.fromEntries([...names].map((name) => [name, merged(lower[name], upper[name])]));
}

// Every field of a start that has no place of its own in the form, made from what the server tells of them.

import { byId, element } from "../dom.js";
import { readValue } from "./values.js";

/** Fields that the form asks for in its own words; `turn_detection` and `cascade` can be written out too. */
const OWN_PLACE = new Set([
  "channel_name", "uid", "agent", "language", "provider", "model", "voice", "toolset", "greeting", "instructions", "tools", "recording",
]);

export class AllFields {
  #fields = []; // {field, control}

  /** fields: of `GET /options`. What was chosen before stays. */
  show(fields) {
    const chosen = this.choices();
    const others = fields.filter(({ name }) => !OWN_PLACE.has(name));
    // What takes a whole row comes last, so that the others leave no gaps.
    const shown = [...others.filter((field) => !isWide(field)), ...others.filter(isWide)];
    this.#fields = shown.map((field) => ({ field, control: createControl(field) }));
    byId("all-fields").hidden = shown.length === 0;
    byId("all-fields-grid").replaceChildren(...this.#fields.map(renderField));
    this.choose(chosen);
  }

  /** The values of the request that were chosen. Throws FormError. */
  read() {
    const values = {};
    for (const { field, control } of this.#fields) {
      control.removeAttribute("aria-invalid");
      try {
        const value = readValue(field, control.value);
        if (value !== undefined) values[field.name] = value;
      } catch (error) {
        control.setAttribute("aria-invalid", "true");
        throw error;
      }
    }
    return values;
  }

  /** Lead to the field that is wrong, if it is one of these. */
  point(name) {
    const found = this.#fields.find(({ field }) => field.name === name);
    if (found === undefined) return;
    for (let part = found.control.parentElement; part !== null; part = part.parentElement) {
      if (part.tagName === "DETAILS") part.open = true;
    }
    found.control.focus();
  }

  /** What stands in the fields, by name. */
  choices() {
    const given = this.#fields.filter(({ control }) => control.value.trim() !== "");
    return Object.fromEntries(given.map(({ field, control }) => [field.name, control.value.trim()]));
  }

  choose(choices) {
    for (const { field, control } of this.#fields) {
      if (choices[field.name] !== undefined) control.value = choices[field.name];
    }
  }
}

function isWide({ kind }) {
  return kind === "json" || kind === "long_text";
}

function createControl(field) {
  const { name, kind, choices, minimum, maximum, max_length: most } = field;
  const common = { id: `start-${name}`, "data-field": name, "aria-describedby": field.description === "" ? null : `start-${name}-hint` };
  if (kind === "boolean") return createSelect(common, [["true", "On"], ["false", "Off"]], defaultWord(field));
  if (kind === "choice") return createSelect(common, choices.map((value) => [value, value]), defaultWord(field));
  if (isWide(field)) {
    const look = kind === "json" ? { class: "code", placeholder: "JSON", spellcheck: "false" } : {};
    return element("textarea", { ...common, ...look, rows: "2" });
  }
  const isNumber = kind === "number" || kind === "integer";
  const limits = isNumber ? { type: "number", min: minimum, max: maximum, step: kind === "integer" ? "1" : "any" } : { maxlength: most };
  return element("input", { ...common, ...limits, autocomplete: "off", spellcheck: "false", placeholder: defaultWord(field) });
}

function createSelect(attributes, values, defaultText) {
  const options = [["", defaultText], ...values].map(([value, text]) => element("option", { value, text }));
  return element("select", attributes, options);
}

/** What this page asks for unless something else is chosen. */
const OF_THIS_PAGE = { show_tools: "full" };

function defaultWord({ name, kind, default: own }) {
  const value = OF_THIS_PAGE[name] ?? own;
  if (value === null || value === undefined) return "Default";
  if (kind === "boolean") return `Default (${value ? "on" : "off"})`;
  return `Default (${value})`;
}

function renderField({ field, control }) {
  const { name, description } = field;
  const hint = element("p", { class: "hint", id: `start-${name}-hint`, text: description });
  return element("div", { class: isWide(field) ? "field wide" : "field" }, [
    element("label", { for: control.id }, [element("code", { text: name })]),
    control,
    ...(description === "" ? [] : [hint]),
  ]);
}

// The page's only way to make elements: text is always text, never markup.

/** The element with this id; a missing one is a mistake in index.html. */
export function byId(id) {
  const found = document.getElementById(id);
  if (found === null) throw new Error(`index.html has no #${id}`);
  return found;
}

/** A new element; `attributes` may hold `class`, `text`, and `on` ({event name: listener}). */
export function element(tag, { text, on = {}, ...attributes } = {}, children = []) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(name, value);
  }
  if (text !== undefined) made.textContent = text;
  for (const [name, listener] of Object.entries(on)) made.addEventListener(name, listener);
  made.append(...children);
  return made;
}

/** Dispatch a `CustomEvent` with `detail` on `target`. */
export function emit(target, name, detail) {
  target.dispatchEvent(new CustomEvent(name, { detail }));
}

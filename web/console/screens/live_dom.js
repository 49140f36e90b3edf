// Changes of a page that is shown: only what differs is touched, so that nothing flickers, a focus
// stays where it is, and screen readers are not told anew.

/** Set a text, if it is another one. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Set an attribute, or take it away with null, if that changes anything. */
export function setAttribute(node, name, value) {
  if (value === null) node.removeAttribute(name);
  else if (node.getAttribute(name) !== String(value)) node.setAttribute(name, value);
}

/** A list whose items keep their element as long as they are in it. */
export class KeyedList {
  #parent;
  #create;
  #views = new Map();

  /** create(item): `{node, update(item)}` for an item that is new. */
  constructor(parent, create) {
    this.#parent = parent;
    this.#create = create;
  }

  /** Show these items in this order; keyOf(item): what stays the same of it. */
  show(items, keyOf) {
    const kept = new Map();
    items.forEach((item, place) => {
      const key = keyOf(item);
      const view = this.#views.get(key) ?? this.#create(item);
      view.update(item);
      kept.set(key, view);
      if (this.#parent.children[place] !== view.node) this.#parent.insertBefore(view.node, this.#parent.children[place] ?? null);
    });
    for (const [key, { node }] of this.#views) if (!kept.has(key)) node.remove();
    this.#views = kept;
  }
}

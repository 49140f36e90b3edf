// The filters above the list of calls: a search field, the frequent ones, and the rest behind a button.

import { element } from "../../dom.js";
import { RANGES, chipsOf, without } from "./filters.js";
import { EXIT_REASONS, wordsOf } from "./format.js";

const TYPING_MS = 250;
const NAME = { autocomplete: "off", autocapitalize: "none", spellcheck: "false", maxlength: 128 };
const MORE = [
  ["channel", "Channel", NAME],
  ["agent", "Agent", NAME],
  ["person", "Person", NAME],
  ["thread", "Thread", NAME],
  ["provider", "Provider", NAME],
  ["team", "Team", NAME],
  ["shortest", "Shortest, in seconds", { type: "number", min: 0, step: "any", inputmode: "decimal" }],
  ["longest", "Longest, in seconds", { type: "number", min: 0, step: "any", inputmode: "decimal" }],
  ["cheapest", "Cost from", { type: "number", min: 0, step: "any", inputmode: "decimal" }],
  ["dearest", "Cost up to", { type: "number", min: 0, step: "any", inputmode: "decimal" }],
];

export class FilterForm {
  #onChange;
  #fields = new Map();
  #filters = {};
  #typing = 0;
  #chips = element("ul", { class: "chips", "aria-label": "Filters in force" });
  #own = element("div", { class: "filter-own" });
  #more = element("div", { class: "filter-grid", id: "more-filters", hidden: true });
  #open = element("button", { class: "button small", type: "button", "aria-expanded": "false", "aria-controls": "more-filters", text: "More filters" });
  node;

  /** onChange(filters): somebody chose other ones. */
  constructor(onChange) {
    this.#onChange = onChange;
    this.#own.append(
      this.#field("from", "From", { type: "datetime-local" }),
      this.#field("to", "Until", { type: "datetime-local" }),
    );
    this.#more.append(...MORE.map(([name, label, attributes]) => this.#field(name, label, attributes)));
    this.#open.addEventListener("click", () => this.#showMore(this.#more.hidden));
    this.node = element("form", { class: "filters", role: "search", "aria-label": "Calls" }, [
      element("div", { class: "filter-bar" }, [
        this.#field("text", "Search", { type: "search", placeholder: "Channel, person, thread or agent", ...NAME }),
        this.#choice("range", "Started", "Any time", Object.entries(RANGES).map(([name, [text]]) => [name, text])),
        this.#choice("exit", "Ended", "Any way", EXIT_REASONS.map((name) => [name, wordsOf(name)])),
        this.#choice("live", "Show", "All calls", [["1", "Only live ones"]]),
        this.#open,
      ]),
      this.#own,
      this.#more,
      this.#chips,
    ]);
    this.node.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#read();
    });
  }

  /** Show what is in force, without a word to anybody. */
  show(filters) {
    this.#filters = filters;
    for (const [name, field] of this.#fields) {
      // Not under somebody's fingers.
      if (field !== document.activeElement) field.value = filters[name] ?? "";
    }
    this.#own.hidden = filters.range !== "own";
    if (MORE.some(([name]) => filters[name] !== undefined)) this.#showMore(true);
    this.#showChips();
  }

  #showMore(isShown) {
    this.#more.hidden = !isShown;
    this.#open.setAttribute("aria-expanded", String(isShown));
  }

  #showChips() {
    const chips = chipsOf(this.#filters).map(({ name, text }) =>
      element("li", {}, [
        element("button", { class: "chip", type: "button", "aria-label": `Remove filter: ${text}`, on: { click: () => this.#drop(name) } }, [
          element("span", { text }),
          element("span", { class: "chip-close", "aria-hidden": "true", text: "×" }),
        ]),
      ]),
    );
    if (chips.length > 1) {
      const clear = element("button", { class: "button quiet small", type: "button", text: "Clear all", on: { click: () => this.#set({}) } });
      chips.push(element("li", {}, [clear]));
    }
    this.#chips.replaceChildren(...chips);
    this.#chips.hidden = chips.length === 0;
  }

  #drop(name) {
    this.#set(without(this.#filters, name));
    this.#fields.get("text").focus();
  }

  #set(filters) {
    for (const [name, field] of this.#fields) field.value = filters[name] ?? "";
    this.#onChange(filters);
  }

  #read() {
    clearTimeout(this.#typing);
    const entries = [...this.#fields].map(([name, field]) => [name, field.value.trim()]);
    const filters = Object.fromEntries(entries.filter(([, value]) => value !== ""));
    this.#own.hidden = filters.range !== "own";
    this.#onChange(filters);
  }

  #field(name, label, attributes) {
    const field = element("input", { id: `filter-${name}`, name, type: "text", ...attributes });
    field.addEventListener("input", () => {
      clearTimeout(this.#typing);
      this.#typing = setTimeout(() => this.#read(), TYPING_MS);
    });
    return this.#labelled(name, label, field);
  }

  #choice(name, label, none, options) {
    const made = [["", none], ...options].map(([value, text]) => element("option", { value, text }));
    const field = element("select", { id: `filter-${name}`, name, on: { change: () => this.#read() } }, made);
    return this.#labelled(name, label, field);
  }

  #labelled(name, text, field) {
    this.#fields.set(name, field);
    return element("div", { class: `field filter-${name}` }, [element("label", { for: field.id, text }), field]);
  }
}

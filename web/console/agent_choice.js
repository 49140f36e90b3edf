// Which agent the start page starts: one of the server's app, or one that is described on the page.

import { byId, element } from "./dom.js";
import { remembered } from "./identity.js";

const NONE = { name: "", display_name: "None of the app: as described below", description: "" };
const NO_NAME = "(none)"; // remembered for it
// What the page suggests for an agent of its own, and an agent of the app has itself.
const SUGGESTED = ["greeting", "language", "toolset"];

export class AgentChoice {
  #select = byId("agent");
  #agents = [];
  #shown = "";
  #suggestions = new Map(); // what stood in these fields before

  constructor() {
    this.#select.addEventListener("change", () => {
      remembered.set("agent", this.name || NO_NAME);
      this.#refresh();
    });
  }

  /** The name of the chosen one; "" for none of the app. */
  get name() {
    return this.#select.value;
  }

  /** Choose one by its name, now or once it is known. */
  choose(name) {
    remembered.set("agent", name);
    if (!this.#agents.some((agent) => agent.name === name)) return;
    this.#select.value = name;
    this.#refresh();
  }

  /** agents: as `GET /agents/definitions` lists them. */
  show(agents) {
    const told = JSON.stringify(agents);
    if (told === this.#shown) return; // a choice that is being made stays
    const wanted = remembered.get("agent") || agents[0]?.name;
    this.#shown = told;
    this.#agents = agents;
    byId("agent-field").hidden = agents.length === 0;
    const options = agents.length === 0 ? [] : [...agents, NONE];
    this.#select.replaceChildren(...options.map(({ name, display_name: text }) => element("option", { value: name, text })));
    this.#select.value = agents.some(({ name }) => name === wanted) ? wanted : "";
    this.#refresh();
  }

  #refresh() {
    const chosen = this.#agents.find(({ name }) => name === this.name) ?? NONE;
    byId("agent-hint").textContent = chosen.description;
    byId("agent-hint").hidden = chosen.description === "";
    for (const id of SUGGESTED) this.#suggest(byId(id), chosen);
  }

  #suggest(field, chosen) {
    if (chosen === NONE && this.#suggestions.has(field)) {
      field.value = this.#suggestions.get(field);
      this.#suggestions.delete(field);
    } else if (chosen !== NONE && !this.#suggestions.has(field)) {
      this.#suggestions.set(field, field.value);
      field.value = "";
    }
    if (field.tagName === "INPUT") field.placeholder = chosen[field.id] ?? "";
  }
}

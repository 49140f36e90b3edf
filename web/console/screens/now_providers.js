// Health of the providers, as recent starts and calls tell it.

import { element } from "../dom.js";
import { HEALTH, ago, count, latency } from "./figures.js";
import { KeyedList, setAttribute, setText } from "./live_dom.js";

export class ProviderList {
  node;
  #list;
  #atMs = 0;

  constructor() {
    const items = element("ul", { class: "rows" });
    this.#list = new KeyedList(items, () => this.#create());
    this.node = element("section", { class: "panel", "aria-labelledby": "now-providers-heading" }, [
      element("h2", { id: "now-providers-heading", text: "Providers, last 15 minutes" }),
      items,
    ]);
  }

  show(providers, atMs) {
    this.#atMs = atMs;
    this.#list.show(providers, ({ name }) => name);
  }

  #create() {
    const name = element("span", { class: "row-name" });
    const state = element("span", { class: "badge" });
    const facts = element("p", { class: "row-facts" });
    const problem = element("p", { class: "row-problem" });
    const node = element("li", { class: "row" }, [element("div", { class: "row-title" }, [name, state]), facts, problem]);
    return {
      node,
      update: (provider) => {
        const [text, tone] = HEALTH[provider.state] ?? [provider.state, "idle"];
        setText(name, provider.name);
        setText(state, text);
        setAttribute(state, "data-tone", tone);
        setText(facts, describe(provider));
        const { last_problem: last, last_problem_at_ms: at } = provider;
        problem.hidden = last === "";
        setText(problem, last === "" ? "" : `${last} (${ago(at, this.#atMs)})`);
      },
    };
  }
}

function describe({ state, sessions, refused, drops, errors, connect_ms: connectMs }) {
  if (state === "unused") return "No session was asked of it.";
  const parts = [count(sessions, "session"), count(refused, "refusal"), count(drops, "drop"), count(errors, "error")];
  return connectMs === null ? parts.join(" · ") : [...parts, `opens in ${latency(connectMs)}`].join(" · ");
}

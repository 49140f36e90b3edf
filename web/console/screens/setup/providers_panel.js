// The providers, what each still needs, and a test that opens a session with its key.

import { withKey } from "../../api_key.js";
import { element } from "../../dom.js";
import { latency } from "../figures.js";
import { badge, createPanel, createResult, row, testButton } from "./parts.js";

const KEYS = {
  set: "Key set",
  command: "Key by a program",
  credentials: "Google credentials",
  missing: "No key",
  not_needed: "Needs no key",
};

export class ProvidersPanel {
  #api;
  #rows = element("ul", { class: "rows" });
  #others = element("ul", { class: "rows" });
  #more = element("details", { class: "options" }, [element("summary", { text: "Not configured" }), this.#others]);
  node = createPanel("setup-providers", "Providers", [this.#rows, this.#more]);

  constructor(api) {
    this.#api = api;
  }

  show(providers) {
    const isShown = ({ is_configured: isConfigured, is_default: isDefault }) => isConfigured || isDefault;
    this.#rows.replaceChildren(...providers.filter(isShown).map((one) => this.#render(one)));
    const others = providers.filter((one) => !isShown(one));
    this.#others.replaceChildren(...others.map((one) => this.#render(one)));
    this.#more.hidden = others.length === 0;
  }

  #render(provider) {
    const { name, is_configured: isConfigured } = provider;
    const result = createResult();
    const test = testButton("Test", `Test ${name}`, () => this.#check(name, result));
    const lines = isConfigured ? [[describe(provider), "row-facts"]] : [[describeMissing(provider), "row-problem"]];
    return row(name, { badges: badgesOf(provider), button: isConfigured ? test : null, lines: [...lines, result.node] });
  }

  async #check(name, result) {
    result.show("Opening a session…");
    try {
      const { is_ok: isOk, took_ms: tookMs, text } = await withKey(() =>
        this.#api.request("POST", `providers/${encodeURIComponent(name)}/check`));
      result.show(isOk ? `It works: a session was open after ${latency(tookMs)}.` : sentence(text), isOk ? "ok" : "bad");
    } catch ({ status, message }) {
      result.show(status === 403 ? "Only an admin key of no team may test providers." : sentence(message), "bad");
    }
  }
}

function badgesOf({ is_default: isDefault, is_fallback: isFallback, is_configured: isConfigured, key }) {
  return [
    ...(isDefault ? [badge("Default", "ok")] : []),
    ...(isFallback ? [badge("Fallback")] : []),
    badge(KEYS[key], key === "missing" || !isConfigured ? "busy" : "idle"),
  ];
}

function describe({ model, host }) {
  return [model, host].filter((text) => text !== "").join(" at ");
}

/** Which variables are missing, or why else it cannot be used. */
export function describeMissing({ missing, problem }) {
  return missing.length > 0 ? `Set ${missing.join(", ")} and restart the server.` : problem;
}

/** A text of the server as a sentence. */
export function sentence(text) {
  const begun = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(begun) ? begun : `${begun}.`;
}

// Providers, voices and tool sets that this server offers, in the fields that the form has for them.

import { byId, element } from "../dom.js";

/** Names that people know better than those of the API. */
const PROVIDER_WORDS = {
  local: "Local model", openai: "OpenAI Realtime", azure: "Azure OpenAI", gemini: "Gemini Live", xai: "xAI", dashscope: "Qwen (DashScope)",
  "openai-compatible": "OpenAI-compatible server", "openai-beta": "OpenAI (beta protocol)",
};

export class Offers {
  #providers = [];

  constructor() {
    byId("provider").addEventListener("change", () => this.suggest());
  }

  /** As `GET /options` answers. What was chosen stays. */
  show({ providers, toolsets }) {
    this.#providers = providers;
    const offered = providers.map((one) => [one.name, describeProvider(one)]);
    fill(byId("provider"), [["", describeDefault(providers)], ...offered]);
    const sets = toolsets.map(({ name, tools }) => [name, tools.length > 0 ? `${name} (${tools.length} tools)` : name]);
    fill(byId("toolset"), [...sets, ["", "None"]]);
    this.suggest();
  }

  /** Voices and model of the chosen provider, or of the default one. */
  suggest() {
    const name = byId("provider").value;
    const chosen = this.#providers.find((one) => (name === "" ? one.is_default : one.name === name));
    byId("voice-names").replaceChildren(...(chosen?.voices ?? []).map((value) => element("option", { value })));
    byId("model").placeholder = chosen?.model || "Default";
    const isMissing = chosen !== undefined && !chosen.is_configured;
    byId("provider-hint").hidden = !isMissing;
    byId("provider-hint").textContent = isMissing ? chosen.problem : "";
  }
}

function describeProvider({ name, is_configured: isConfigured }) {
  const word = PROVIDER_WORDS[name] ?? name;
  return isConfigured ? word : `${word} (not set up)`;
}

function describeDefault(providers) {
  const found = providers.find(({ is_default: isDefault }) => isDefault);
  return found === undefined ? "Server default" : `Server default: ${PROVIDER_WORDS[found.name] ?? found.name}`;
}

function fill(select, offered) {
  const { value } = select;
  select.replaceChildren(...offered.map(([name, text]) => element("option", { value: name, text })));
  select.value = value;
}

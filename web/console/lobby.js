// The start page: which channel, which options, and the agents that run already.

import { AgentChoice } from "./agent_choice.js";
import { byId, element } from "./dom.js";
import { remembered, suggestChannel } from "./identity.js";
import { StartForm } from "./start_form/form.js";
import { FormError } from "./start_form/values.js";

export { FormError };

const LIVE_STATES = new Set(["starting", "joining", "connecting", "ready", "running", "draining"]);
const STATE_WORDS = {
  ready: "Ready",
  running: "In a call",
  draining: "Ending",
  stopping: "Ending",
  backoff: "Restarting",
  fatal: "Failed",
  exited: "Ended",
};
const NAME_RULE =
  "A channel name is 1 to 64 letters, digits, “_”, “-” or “.”, and begins with a letter or digit.";

/** What answers in the local model, by kind. */
const MINDS = {
  rules: "Built-in rules answer: they know a dozen kinds of questions. For any question, give them a language model:",
  embedded:
    "Built-in rules answer, and a very small packaged language model what they do not know: a toy. For a better one:",
};

/** Whether an agent of the list can be joined. */
export function isLive({ state }) {
  return LIVE_STATES.has(state);
}

export class Lobby {
  #channel = byId("channel");
  #joinButton = byId("join");
  #agents = [];
  #choice = new AgentChoice();
  #form = new StartForm();

  /** onJoin(): main button; onStop(channel): stop one of the list. */
  constructor({ onJoin, onStop }) {
    this.onStop = onStop;
    this.onJoin = onJoin;
    const fromLink = new URLSearchParams(location.hash.slice(1)).get("channel");
    // What was typed before we were loaded stays.
    this.#channel.value = fromLink || this.#channel.value || remembered.get("channel") || suggestChannel();
    byId("name").value = remembered.get("name");
    byId("new-channel").addEventListener("click", () => {
      this.channel = suggestChannel();
    });
    this.#channel.addEventListener("input", () => this.#refreshButton());
    byId("join-form").addEventListener("submit", (event) => {
      event.preventDefault();
      onJoin();
    });
    // Until somebody listens, the form would be sent by the browser and the page be loaded anew.
    this.#joinButton.disabled = false;
  }

  get channel() {
    return this.#channel.value.trim();
  }

  set channel(name) {
    this.#channel.value = name;
    this.#channel.removeAttribute("aria-invalid");
    this.#refreshButton();
  }

  get name() {
    return byId("name").value.trim();
  }

  /** Throws FormError when the channel's name is not usable. */
  checkChannel() {
    const isFine = this.#channel.checkValidity() && this.channel !== "";
    this.#channel.setAttribute("aria-invalid", String(!isFine));
    if (isFine) return;
    this.#channel.focus();
    throw new FormError(NAME_RULE);
  }

  /** The body of start_agent. Throws FormError. */
  startOptions() {
    return this.#form.read(this.channel, this.#choice.name);
  }

  /** What this server offers, as `GET /options` answers. */
  showOptions(options) {
    this.#form.show(options);
  }

  /** Lead to a field of the form that is wrong. */
  point(field) {
    this.#form.point(field);
  }

  /** Choices of an address, by the names of the request's fields. */
  choose(query) {
    if (query.get("channel")) this.channel = query.get("channel");
    if (query.get("agent")) this.#choice.choose(query.get("agent"));
    this.#form.choose(Object.fromEntries(query));
  }

  /** Show what is under way in the main button, or null when nothing is. */
  setBusy(text) {
    this.#joinButton.disabled = text !== null;
    this.#joinButton.setAttribute("aria-busy", String(text !== null));
    if (text === null) this.#refreshButton();
    else byId("join-label").textContent = text;
  }

  showAgents(agents) {
    this.#agents = agents;
    byId("live-list").replaceChildren(...agents.map((agent) => this.#renderAgent(agent)));
    byId("live-empty").hidden = agents.length > 0;
    byId("live-empty").textContent = "None yet. The first one starts when you join.";
    byId("channel-names").replaceChildren(...agents.map(({ channel_name: value }) => element("option", { value })));
    if (!this.#joinButton.disabled) this.#refreshButton();
  }

  /** The agents of the server's app. */
  showDefinitions(agents) {
    this.#choice.show(agents);
  }

  /** Who answers where the local model is the default, and how to give it a better language model. */
  showLocalModel({ is_default: isDefault, language_model: { kind, model, host }, settings }) {
    byId("mind").hidden = !isDefault;
    byId("mind-text").textContent = kind === "server" ? `${model} at ${host} answers.` : MINDS[kind];
    byId("mind-better").hidden = kind === "server";
    const rows = Object.entries(settings).map(([name, value]) => [
      element("dt", { text: name }),
      element("dd", { text: value === "" ? "not set" : value }),
    ]);
    byId("settings-list").replaceChildren(...rows.flat());
  }

  /** Say in the list's place why there is no list. */
  showAgentsProblem(text) {
    this.showAgents([]);
    byId("live-empty").textContent = text;
  }

  #refreshButton() {
    const isRunning = this.#agents.some((agent) => agent.channel_name === this.channel && isLive(agent));
    byId("join-label").textContent = isRunning ? "Join the call" : "Start agent and join";
  }

  #renderAgent(agent) {
    const { channel_name: channel, state, name } = agent;
    const join = () => {
      this.channel = channel;
      this.onJoin();
    };
    const button = (text, look, label, click, disabled = false) =>
      element("button", { class: `button small ${look}`, type: "button", text, "aria-label": label, disabled, on: { click } });
    return element("li", { class: "live-item", "data-state": state }, [
      element("span", { class: "live-dot", "aria-hidden": "true" }),
      element("div", { class: "live-words" }, [
        element("span", { class: "live-channel", text: channel }),
        element("span", { class: "live-state", text: [name, STATE_WORDS[state] ?? "Starting"].filter(Boolean).join(" · ") }),
      ]),
      button("Join", "", `Join ${channel}`, join, !isLive(agent)),
      button("Stop", "quiet", `Stop the agent of ${channel}`, () => this.onStop(channel)),
    ]);
  }
}

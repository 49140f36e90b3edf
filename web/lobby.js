// The start page: which channel, which options, and the agents that run already.

import { byId, element } from "./dom.js";
import { remembered, suggestChannel } from "./identity.js";

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

/** A field of the form is wrong; the message says what to do. */
export class FormError extends Error {}

/** Whether an agent of the list can be joined. */
export function isLive({ state }) {
  return LIVE_STATES.has(state);
}

/** Field of start_agent: the form's field for it. Left out when empty. */
const OPTIONAL_FIELDS = {
  greeting: "greeting",
  voice: "voice",
  instructions: "system-message",
  toolset: "toolset",
  provider: "provider",
};

function valueOf(id) {
  return byId(id).value.trim();
}

function readUid() {
  const field = byId("agent-uid");
  if (field.value !== "" && field.checkValidity()) return Number(field.value);
  throw new FormError("The agent's uid is a number from 1 to 4294967295.");
}

function parseTools(text) {
  if (text === "") return [];
  let tools;
  try {
    tools = JSON.parse(text);
  } catch (error) {
    throw new FormError(`The tools are not JSON: ${error.message}`);
  }
  if (!Array.isArray(tools)) throw new FormError("The tools must be a JSON list of declarations.");
  return tools;
}

export class Lobby {
  #channel = byId("channel");
  #joinButton = byId("join");
  #agents = [];

  /** onJoin(): main button; onStop(channel): stop one of the list. */
  constructor({ onJoin, onStop }) {
    this.onStop = onStop;
    this.onJoin = onJoin;
    const fromLink = new URLSearchParams(location.hash.slice(1)).get("channel");
    // What was typed before we were loaded stays.
    this.#channel.value = fromLink || this.#channel.value || remembered.get("channel") || suggestChannel();
    byId("name").value = remembered.get("name");
    byId("new-channel").addEventListener("click", () => this.#handleNewName());
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
    const options = { channel_name: this.channel, uid: readUid(), language: valueOf("language") || "en" };
    for (const [name, id] of Object.entries(OPTIONAL_FIELDS)) {
      if (valueOf(id) !== "") options[name] = valueOf(id);
    }
    if (valueOf("turns") !== "") options.turn_detection = { type: valueOf("turns") };
    if (byId("recording").checked) options.recording = true;
    // Whoever starts an agent here wants to see what it does, and answers its tools on this page.
    options.show_tools = "full";
    const tools = parseTools(valueOf("tools"));
    return tools.length > 0 ? { ...options, tools, tool_results_from: "anyone" } : options;
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

  /** Say in the list's place why there is no list. */
  showAgentsProblem(text) {
    this.showAgents([]);
    byId("live-empty").textContent = text;
  }

  #handleNewName() {
    this.#channel.value = suggestChannel();
    this.#channel.removeAttribute("aria-invalid");
    this.#refreshButton();
  }

  #refreshButton() {
    const isRunning = this.#agents.some((agent) => agent.channel_name === this.channel && isLive(agent));
    byId("join-label").textContent = isRunning ? "Join the call" : "Start agent and join";
  }

  #renderAgent(agent) {
    const { channel_name: channel, state } = agent;
    const join = () => {
      this.#channel.value = channel;
      this.#refreshButton();
      this.onJoin();
    };
    const button = (text, look, label, click, disabled = false) =>
      element("button", { class: `button small ${look}`, type: "button", text, "aria-label": label, disabled, on: { click } });
    return element("li", { class: "live-item", "data-state": state }, [
      element("span", { class: "live-dot", "aria-hidden": "true" }),
      element("div", { class: "live-words" }, [
        element("span", { class: "live-channel", text: channel }),
        element("span", { class: "live-state", text: STATE_WORDS[state] ?? "Starting" }),
      ]),
      button("Join", "", `Join ${channel}`, join, !isLive(agent)),
      button("Stop", "quiet", `Stop the agent of ${channel}`, () => this.onStop(channel)),
    ]);
  }
}

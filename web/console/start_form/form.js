// What is chosen in the form of the start page, as the body of start_agent.

import { byId } from "../dom.js";
import { formatHash } from "../router.js";
import { AllFields } from "./all_fields.js";
import { Offers } from "./offers.js";
import { FormError, merged, readJson } from "./values.js";

/** Field of start_agent: the form's field for it. Left out when empty. */
const OPTIONAL_FIELDS = {
  greeting: "greeting",
  language: "language",
  voice: "voice",
  instructions: "system-message",
  toolset: "toolset",
  provider: "provider",
  model: "model",
};

function valueOf(id) {
  return byId(id).value.trim();
}

/** Parts of the local model that the form chooses, or null where it chooses none. */
function readCascade() {
  const cascade = {};
  if (valueOf("recogniser") !== "") cascade.recogniser = { engine: valueOf("recogniser") };
  if (valueOf("voice-engine") !== "") cascade.voice = { engine: valueOf("voice-engine") };
  if (byId("noise-suppression").checked) cascade.noise_suppression = true;
  return Object.keys(cascade).length > 0 ? cascade : null;
}

function readUid() {
  const field = byId("agent-uid");
  if (field.value !== "" && field.checkValidity()) return Number(field.value);
  throw new FormError("The agent's uid is a number from 1 to 4294967295.");
}

function parseTools(text) {
  if (text === "") return [];
  const tools = readJson("The tools", text);
  if (!Array.isArray(tools)) throw new FormError("The tools must be a JSON list of declarations.");
  return tools;
}

/** Fields that an address may name, beside all the others: field of the request, and the form's field for it. */
const CHOOSABLE = { ...OPTIONAL_FIELDS, uid: "agent-uid", tools: "tools" };
// An address is kept in histories and logs: this one may hold a key.
const NOT_IN_ADDRESS = new Set(["cascade"]);

export class StartForm {
  #all = new AllFields();
  #offers = new Offers();
  #wanted = {}; // of an address, for fields that are not there yet
  #shown = "";

  constructor() {
    byId("keep-choices").addEventListener("click", () => this.#keepInAddress());
  }

  /** As `GET /options` answers. */
  show(options) {
    const told = JSON.stringify(options);
    if (told === this.#shown) return; // a choice that is being made stays
    this.#shown = told;
    this.#offers.show(options);
    this.#all.show(options.fields);
    this.choose(this.#wanted);
    this.#wanted = {};
  }

  /** choices: texts by the names of the request's fields; others are ignored. */
  choose(choices) {
    if (this.#shown === "") this.#wanted = choices;
    for (const [name, id] of Object.entries(CHOOSABLE)) {
      if (choices[name] !== undefined) byId(id).value = choices[name];
    }
    if (choices.recording !== undefined) byId("recording").checked = choices.recording === "true";
    this.#all.choose(choices);
    this.#offers.suggest();
  }

  /** Lead to the field of this name that is wrong, if it has no place of its own. */
  point(name) {
    this.#all.point(name);
  }

  /** The body of start_agent; agent: of the app, or "". Throws FormError. */
  read(channel, agent) {
    const options = { channel_name: channel, uid: readUid() };
    if (agent !== "") options.agent = agent;
    for (const [name, id] of Object.entries(OPTIONAL_FIELDS)) {
      if (valueOf(id) !== "") options[name] = valueOf(id);
    }
    if (valueOf("turns") !== "") options.turn_detection = { type: valueOf("turns") };
    const cascade = readCascade();
    if (cascade !== null) options.cascade = cascade;
    if (byId("recording").checked) options.recording = true;
    // Whoever starts an agent here wants to see what it does, and answers its tools on this page.
    options.show_tools = "full";
    const tools = parseTools(valueOf("tools"));
    if (tools.length > 0) Object.assign(options, { tools, tool_results_from: "anyone" });
    return merged(options, this.#all.read());
  }

  // So that a choice can be kept as a bookmark, or sent to somebody.
  #keepInAddress() {
    const own = Object.entries(CHOOSABLE).map(([name, id]) => [name, valueOf(id)]);
    const recording = byId("recording").checked ? [["recording", "true"]] : [];
    const all = Object.entries(this.#all.choices()).filter(([name]) => !NOT_IN_ADDRESS.has(name));
    const choices = Object.fromEntries([["channel", valueOf("channel")], ["agent", valueOf("agent")], ...own, ...recording, ...all]);
    history.replaceState(null, "", formatHash("talk", [], choices));
    byId("keep-choices-done").textContent = "The address of this page has them now.";
  }
}

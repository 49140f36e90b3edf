// The panel of a live call: listen in, say something in the agent's voice, interrupt, mute, stop.

import { HOME, join } from "../../../parley.js";
import { element } from "../../dom.js";
import { ask } from "./dialogs.js";

const UIDS = { first: 2_000_000_000, count: 2_000_000_000 };
const NOT_ALLOWED = "The key of this tab does not allow it.";

export class Steering {
  #api;
  #channel = "";
  #call = null; // that we listen to
  #isJoining = false;
  #isMuted = false;
  #status = element("p", { class: "hint", role: "status" });
  #listen = button("Listen in", () => this.#toggleListening(), { "aria-pressed": "false", id: "listen-in" });
  #mute = button("Mute", () => this.#toggleMute(), { "aria-pressed": "false" });
  #text = element("input", { id: "say-text", name: "text", maxlength: 4000, autocomplete: "off", placeholder: "Words for the agent to say" });
  #now = element("input", { id: "say-now", type: "checkbox" });
  node;

  constructor(api) {
    this.#api = api;
    const form = element("form", { class: "say-form", on: { submit: (event) => this.#say(event) } }, [
      element("label", { class: "visually-hidden", for: "say-text", text: "Have the agent say" }),
      this.#text,
      element("button", { class: "button primary", type: "submit", text: "Say" }),
      element("span", { class: "say-now" }, [this.#now, element("label", { for: "say-now", text: "Interrupt what it says" })]),
    ]);
    this.node = element("section", { class: "card steering", "aria-labelledby": "steering-heading" }, [
      element("div", { class: "steering-head" }, [
        element("h2", { id: "steering-heading" }, [element("span", { class: "live-mark", "aria-hidden": "true" }), "This call goes on"]),
        element("div", { class: "steering-buttons" }, [
          this.#listen,
          button("Interrupt", () => this.#command("interrupt", {}, "Interrupted.")),
          this.#mute,
          button("Stop the call", () => this.#stop(), {}, "danger"),
        ]),
      ]),
      form,
      this.#status,
    ]);
  }

  open(channel) {
    this.#channel = channel;
  }

  close() {
    this.#call?.leave();
    this.#call = null;
    this.#showListening();
  }

  approve(id, approve) {
    return this.#command("approve", { id, approve }, approve ? "Approved." : "Denied.");
  }

  // -- inside ----------------------------------------------------------------------------------

  async #say(event) {
    event.preventDefault();
    const text = this.#text.value.trim();
    if (text === "") return;
    if (await this.#command("say", { text, interrupt: this.#now.checked }, "The agent says it.")) this.#text.value = "";
  }

  async #toggleMute() {
    const muted = !this.#isMuted;
    if (!(await this.#command("mute", { muted }, muted ? "The agent is muted." : "The agent is heard again."))) return;
    this.#isMuted = muted;
    this.#mute.setAttribute("aria-pressed", String(muted));
  }

  async #stop() {
    await ask({
      title: "Stop this call?",
      text: "The agent leaves, and whoever talks to it is cut off. The record stays.",
      choices: [{ value: "stop", label: "Stop" }],
      action: "Stop the call",
      run: () => this.#api.stop(this.#channel),
    });
  }

  async #command(name, body, done) {
    try {
      await this.#api.command(this.#channel, name, body);
      this.#tell(done);
      return true;
    } catch (error) {
      this.#tell(describe(error), true);
      return false;
    }
  }

  async #toggleListening() {
    if (this.#isJoining) return;
    if (this.#call !== null) {
      this.close();
      this.#tell("");
      return;
    }
    this.#isJoining = true;
    const audioContext = new AudioContext(); // made in the click, so that the browser lets it sound
    const channel = this.#channel;
    const uid = UIDS.first + Math.floor(Math.random() * UIDS.count);
    try {
      const token = await this.#api.listenerToken(channel, uid);
      const call = await join({ server: HOME, channel, uid, name: "Listener", role: "listener", token, microphone: false, audioContext });
      call.on("ended", () => this.close());
      call.on("problem", ({ title, message }) => this.#tell(`${title}. ${message}`, true));
      this.#call = call;
      this.#tell("You hear both sides. Nobody hears you; the others see that somebody listens.");
    } catch (error) {
      if (audioContext.state !== "closed") audioContext.close();
      this.#tell(describe(error), true);
    } finally {
      this.#isJoining = false;
      this.#showListening();
    }
  }

  #showListening() {
    this.#listen.setAttribute("aria-pressed", String(this.#call !== null));
  }

  #tell(text, isProblem = false) {
    this.#status.textContent = text;
    this.#status.classList.toggle("problem", isProblem);
  }
}

function describe({ status, message, details = [] }) {
  if (status === 403) return NOT_ALLOWED;
  return [message, ...details].join(" ");
}

function button(text, click, attributes = {}, look = "") {
  return element("button", { class: `button small ${look}`, type: "button", text, on: { click }, ...attributes });
}

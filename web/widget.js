// A voice agent in one tag, for any page: <parley-call>, or a script with data- attributes. docs/web.md.

import { openSession } from "./widget/session.js";
import { WidgetView } from "./widget/view.js";
import { MicrophoneError, ParleyError, join, openMicrophone } from "./parley.js";

const TAG = "parley-call";
const ATTRIBUTES = [
  "agent", "channel", "server", "token-url", "name", "label", "position", "captions", "typing", "transport",
];
const STATE_WORDS = {
  connecting: "Connecting",
  waiting: "Nobody is here yet",
  listening: "Listening",
  thinking: "Thinking",
  speaking: "Speaking",
  reconnecting: "Connection lost, trying again",
};
const MUTED = "You are muted";

/**
 * Events, which leave the shadow: `parley-call` (detail: the Call), `parley-state` (word), `parley-transcript` (Line),
 * `parley-error` (ParleyError), `parley-ended` ({reason, error}).
 */
export class ParleyCall extends HTMLElement {
  #view = null;
  #joining = null; // AbortController
  #call = null;

  /** The running call, or null. */
  get call() {
    return this.#call;
  }

  connectedCallback() {
    this.#view ??= new WidgetView(this, {
      onStart: () => this.start(),
      onStartWithoutMicrophone: () => this.start({ withMicrophone: false }),
      onHangUp: () => this.hangUp(),
      onMute: () => this.#toggleMute(),
      onSend: (text) => this.#send(text),
    });
    this.#view.showIdle();
  }

  // Only if it is gone for good: a page may move it.
  disconnectedCallback() {
    queueMicrotask(() => {
      if (!this.isConnected) this.hangUp();
    });
  }

  /** Begin a call, as its button does; call it in a click. Never rejects: `parley-error` says what went wrong. */
  async start({ withMicrophone = true } = {}) {
    if (this.#joining !== null || this.#call !== null) return;
    const joining = new AbortController();
    this.#joining = joining;
    try {
      await this.#enter(joining.signal, withMicrophone);
    } catch (error) {
      if (!joining.signal.aborted) this.#fail(error);
    } finally {
      this.#joining = null;
      if (this.#call === null && joining.signal.aborted) this.#view.showIdle();
    }
  }

  /** End the call, or the attempt. */
  hangUp() {
    this.#joining?.abort();
    this.#call?.leave();
  }

  async #enter(signal, withMicrophone) {
    const audioContext = new AudioContext(); // made in the click
    let microphone = null;
    try {
      this.#view.showBusy(withMicrophone ? "Asking for the microphone" : "Connecting");
      if (withMicrophone) microphone = await openMicrophone();
      // Nothing is started for somebody who does not let us hear.
      this.#view.showBusy("Calling");
      const session = await openSession(this, signal);
      const transport = this.getAttribute("transport") ?? "webrtc";
      const options = { ...session, microphone: microphone ?? false, audioContext, signal, transport };
      this.#follow(await join(options));
    } catch (error) {
      for (const track of microphone?.getTracks() ?? []) track.stop();
      if (audioContext.state !== "closed") audioContext.close();
      throw error;
    }
  }

  #follow(call) {
    this.#call = call;
    this.#view.showCall({ isHeard: call.hasMicrophone });
    this.#showState();
    call.on("state", (word) => {
      this.#showState();
      if (word !== "ended") this.#tell("parley-state", word);
    });
    call.on("transcript", (line) => {
      this.#view.showLine(line);
      this.#tell("parley-transcript", line);
    });
    call.on("problem", (problem) => this.#handleProblem(problem));
    call.on("agent_gone", () => this.hangUp());
    call.on("ended", (how) => this.#handleEnded(how));
    this.#view.followLevel(() => call.level.agent);
    this.#tell("parley-call", call);
  }

  #showState() {
    const { state, isMuted } = this.#call;
    const isTurn = state === "listening" && isMuted;
    this.#view.showState(state, isTurn ? MUTED : (STATE_WORDS[state] ?? ""));
  }

  #handleProblem(problem) {
    this.#tell("parley-error", problem);
    if (problem.code === "sound_blocked") this.#view.offerSound(() => this.#call?.playSound());
  }

  #handleEnded(how) {
    this.#call = null;
    this.#view.showIdle();
    if (how.error !== null) this.#fail(how.error);
    this.#tell("parley-ended", how);
  }

  #fail(error) {
    this.#view.showProblem(error, { isMicrophone: error instanceof MicrophoneError });
    if (!(error instanceof ParleyError)) console.error(error);
    this.#tell("parley-error", error);
  }

  #toggleMute() {
    this.#call.mute(!this.#call.isMuted);
    this.#view.showMuted(this.#call.isMuted);
    this.#showState();
  }

  #send(text) {
    return this.#call?.sendText(text) ?? false;
  }

  #tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail, bubbles: true, composed: true }));
  }
}

if (customElements.get(TAG) === undefined) customElements.define(TAG, ParleyCall);

/** Put a widget beside each tag that loaded this module: the script's data- attributes are its attributes. */
function replaceScripts() {
  const addresses = [new URL("../widget.js", import.meta.url).href, import.meta.url];
  for (const script of document.querySelectorAll("script[type=module][src]")) {
    if (!addresses.includes(script.src) || !ATTRIBUTES.some((name) => script.hasAttribute(`data-${name}`))) continue;
    const widget = document.createElement(TAG);
    for (const name of ATTRIBUTES) {
      const value = script.getAttribute(`data-${name}`);
      if (value !== null) widget.setAttribute(name, value);
    }
    if (!widget.hasAttribute("position")) widget.setAttribute("position", "bottom-right");
    if (document.head.contains(script)) document.body.append(widget);
    else script.after(widget);
  }
}

replaceScripts();

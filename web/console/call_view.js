// The call's side: who is here, how loud, how connected, and the buttons.

import { shareableSources } from "../client/picture_share.js";
import { byId, element } from "./dom.js";
import { ReplyClock } from "./latency.js";
import { TalkButton } from "./talk.js";
import { Waveform } from "./waveform.js";

const METER_EVERY_MS = 250;

const LINK_WORDS = {
  none: ["idle", "No agent here"],
  connecting: ["busy", "Connecting audio"],
  connected: ["ok", "Connected"],
  broken: ["warn", "Restoring audio"],
};

/** Tone and words of the connection, for the page's head. */
export function describeConnection(call) {
  if (call === null) return ["idle", "Not in a call"];
  if (call.isLost) return ["warn", "Server lost, retrying"];
  return LINK_WORDS[call.agentLink];
}

/** Type of event: whether the agent pauses in the middle of a reply after it. */
const IS_PAUSED_AFTER = {
  agent_paused: true,
  agent_resumed: false,
  agent_interrupted: false,
  agent_playout_done: false,
  agent_ready: false,
};

export class CallView {
  #waves = { user: new Waveform(byId("wave-user")), agent: new Waveform(byId("wave-agent")) };
  #clock = new ReplyClock();
  #call = null;
  #meteredAt = 0;
  #isPaused = false;
  #talk;

  /** handlers: onMute, onLeave, onStopAgent, onStartAgent, onShare(source), onNobodyToTalkTo. */
  constructor(handlers) {
    this.#talk = new TalkButton(byId("talk"), {
      onStart: () => this.#handleTalk(handlers.onNobodyToTalkTo),
      onEnd: () => this.#handleTalkEnd(),
    });
    byId("mute").addEventListener("click", handlers.onMute);
    byId("leave").addEventListener("click", handlers.onLeave);
    for (const source of ["camera", "screen"]) {
      byId(`share-${source}`).addEventListener("click", () => handlers.onShare(source));
    }
    byId("stop-agent").addEventListener("click", handlers.onStopAgent);
    byId("start-agent").addEventListener("click", handlers.onStartAgent);
  }

  open(call) {
    this.#call = call;
    this.#clock = new ReplyClock();
    this.#meteredAt = 0;
    byId("latency").textContent = "–";
    byId("recorded").hidden = true;
    this.#showPaused(false);
    for (const wave of Object.values(this.#waves)) wave.clear();
    this.refresh();
    requestAnimationFrame((now) => this.#tick(call, now));
  }

  close() {
    this.#talk.isAvailable = false;
    byId("share-preview").srcObject = null;
    this.#call = null;
  }

  handleEvent(event) {
    if (this.#call === null) return;
    if (event.type === "agent_input_done") this.#clock.handleInputDone(performance.now());
    if (event.type === "agent_input_started") this.#clock.handleInputStarted();
    if (event.type === "agent_ready") this.#handleReady(event);
    if (event.type in IS_PAUSED_AFTER) this.#showPaused(IS_PAUSED_AFTER[event.type]);
  }

  #handleReady(event) {
    byId("recorded").hidden = event.is_recorded !== true;
    this.refresh();
  }

  #handleTalk(onNobodyToTalkTo) {
    const isHeard = this.#call.startTalking();
    if (!isHeard) onNobodyToTalkTo();
    this.refresh();
    return isHeard;
  }

  #handleTalkEnd() {
    this.#call.stopTalking();
    this.#clock.handleInputDone(performance.now());
    this.refresh();
  }

  // Pauses are short and many: they are shown, and not said to screen readers.
  #showPaused(isPaused) {
    this.#isPaused = isPaused;
    byId("call").dataset.agent = isPaused ? "paused" : "";
    this.refresh();
  }

  showStartTimings(timings) {
    byId("fact-start").hidden = timings === null;
    if (timings === null) return;
    const entries = Object.entries(timings).filter(([, ms]) => typeof ms === "number");
    const total = timings.total ?? entries.reduce((sum, [, ms]) => sum + ms, 0);
    byId("start-time").textContent = `${Math.round(total)} ms`;
    byId("fact-start").title = entries.map(([phase, ms]) => `${phase} ${Math.round(ms)} ms`).join(", ");
  }

  /** Show everything that does not move: people, buttons, notes. */
  refresh() {
    const call = this.#call;
    if (call === null) return;
    const hasAgent = call.agents.length > 0;
    byId("stop-agent").hidden = !hasAgent;
    byId("start-agent").hidden = hasAgent;
    this.#refreshMute(call);
    this.#refreshRecipient(call);
    this.#refreshShare(call);
    byId("user-note").textContent = noteOfUser(call);
    byId("agent-note").textContent = hasAgent ? (this.#isPaused ? "pauses" : "") : "not here";
    const self = { uid: call.uid, name: "You", role: "user", is_muted: call.isMuted };
    byId("people").replaceChildren(...[self, ...call.members].map(renderMember));
  }

  // With nobody else here there is only the agent to write to.
  #refreshRecipient(call) {
    const recipient = byId("recipient");
    recipient.hidden = call.members.length === call.agents.length;
    if (recipient.hidden) recipient.value = "agent";
  }

  // Only where somebody sees it.
  #refreshShare(call) {
    const hasSight = call.hasImageInput && call.agents.length > 0;
    const sources = hasSight ? shareableSources() : [];
    byId("share-controls").hidden = sources.length === 0;
    for (const source of ["camera", "screen"]) {
      const button = byId(`share-${source}`);
      button.hidden = !sources.includes(source);
      button.setAttribute("aria-pressed", String(call.sharing === source));
      button.title = call.sharing === source ? `Stop showing the ${source}` : `Show the agent the ${source}, once a second`;
    }
    const preview = byId("share-preview");
    preview.hidden = call.sharing === null;
    if (preview.srcObject !== call.sharedStream) preview.srcObject = call.sharedStream;
  }

  #refreshMute(call) {
    const mute = byId("mute");
    mute.disabled = !call.hasMicrophone;
    // Whoever pushes to talk is muted by letting go.
    mute.hidden = call.hasManualTurns;
    this.#talk.isAvailable = call.hasManualTurns && call.hasMicrophone;
    byId("talk-label").textContent = call.isTalking ? "Listening, let go to send" : "Hold to talk";
    mute.setAttribute("aria-pressed", String(call.isMuted));
    byId("mute-label").textContent = call.isMuted ? "Unmute" : "Mute";
  }

  #tick(call, now) {
    if (this.#call !== call) return;
    const levels = call.level;
    for (const side of ["user", "agent"]) this.#waves[side].push(levels[side], now);
    const replyMs = this.#clock.handleLevels({ ...levels, now });
    if (replyMs !== null) byId("latency").textContent = `${Math.round(replyMs)} ms`;
    if (now - this.#meteredAt > METER_EVERY_MS) {
      this.#meteredAt = now;
      for (const side of ["user", "agent"]) byId(`meter-${side}`).setAttribute("aria-valuenow", Math.round(levels[side] * 100));
    }
    requestAnimationFrame((next) => this.#tick(call, next));
  }
}

function noteOfUser(call) {
  if (!call.hasMicrophone) return "no microphone";
  if (call.hasManualTurns) return call.isTalking ? "talking" : "push to talk";
  return call.isMuted ? "muted" : "";
}

function renderMember({ uid, name, role, is_muted: isMuted }) {
  const label = name || (role === "agent" ? "Agent" : "Guest");
  const note = [role === "user" ? "" : role, isMuted ? "muted" : ""].filter(Boolean).join(", ");
  return element("li", { class: "person", "data-role": role, "data-uid": uid }, [
    element("span", { class: "avatar", "aria-hidden": "true", text: label.slice(0, 1).toUpperCase() }),
    element("span", { class: "person-name", text: label }),
    element("span", { class: "person-note", text: note || `uid ${uid}` }),
  ]);
}

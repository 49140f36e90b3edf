// The call's side: who is here, how loud, how connected, and the buttons.

import { byId, element } from "./dom.js";
import { ReplyClock } from "./latency.js";
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

export class CallView {
  #waves = { user: new Waveform(byId("wave-user")), agent: new Waveform(byId("wave-agent")) };
  #clock = new ReplyClock();
  #call = null;
  #meteredAt = 0;

  /** handlers: onMute, onLeave, onStopAgent, onStartAgent. */
  constructor(handlers) {
    byId("mute").addEventListener("click", handlers.onMute);
    byId("leave").addEventListener("click", handlers.onLeave);
    byId("stop-agent").addEventListener("click", handlers.onStopAgent);
    byId("start-agent").addEventListener("click", handlers.onStartAgent);
  }

  open(call) {
    this.#call = call;
    this.#clock = new ReplyClock();
    this.#meteredAt = 0;
    byId("latency").textContent = "–";
    for (const wave of Object.values(this.#waves)) wave.clear();
    this.refresh();
    requestAnimationFrame((now) => this.#tick(call, now));
  }

  close() {
    this.#call = null;
  }

  handleEvent({ type }) {
    if (type === "agent_input_done") this.#clock.handleInputDone(performance.now());
    if (type === "agent_input_started") this.#clock.handleInputStarted();
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
    byId("user-note").textContent = call.hasMicrophone ? (call.isMuted ? "muted" : "") : "no microphone";
    byId("agent-note").textContent = hasAgent ? "" : "not here";
    const self = { uid: call.uid, name: "You", role: "user", is_muted: call.isMuted };
    byId("people").replaceChildren(...[self, ...call.members].map(renderMember));
  }

  // With nobody else here there is only the agent to write to.
  #refreshRecipient(call) {
    const recipient = byId("recipient");
    recipient.hidden = call.members.length === call.agents.length;
    if (recipient.hidden) recipient.value = "agent";
  }

  #refreshMute(call) {
    const mute = byId("mute");
    mute.disabled = !call.hasMicrophone;
    mute.setAttribute("aria-pressed", String(call.isMuted));
    byId("mute-label").textContent = call.isMuted ? "Unmute" : "Mute";
  }

  #tick(call, now) {
    if (this.#call !== call) return;
    const levels = call.readLevels();
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

function renderMember({ uid, name, role, is_muted: isMuted }) {
  const label = name || (role === "agent" ? "Agent" : "Guest");
  const note = [role === "agent" ? "agent" : "", isMuted ? "muted" : ""].filter(Boolean).join(", ");
  return element("li", { class: "person", "data-role": role, "data-uid": uid }, [
    element("span", { class: "avatar", "aria-hidden": "true", text: label.slice(0, 1).toUpperCase() }),
    element("span", { class: "person-name", text: label }),
    element("span", { class: "person-note", text: note || `uid ${uid}` }),
  ]);
}

// The way without WebRTC: one WebSocket to the agent, sound through AudioWorklets.

import { emit } from "../events.js";
import { BridgeSocket } from "./socket.js";
import { Sound } from "./sound.js";

const REPORT_MS = 1000;
// After these nothing more comes of a reply, for now.
const REPLY_ENDS = new Set(["agent_playout_done", "agent_response_done", "agent_paused"]);

/**
 * A transport of `Call`, with the events of `Room` as far as there are such, and `over` ({reason}): the call has
 * ended. Whoever else is in the channel is not seen.
 */
export class Bridge extends EventTarget {
  #socket;
  #sound;
  #track;
  #agent = null;
  #reporting = 0;
  #isClosed = false;
  uid = 0;
  isLost = false;

  /** start: fields of a start, for a channel without an agent. */
  constructor({ server, channel, uid, name, token, track, context, start = {} }) {
    super();
    this.#track = track;
    this.#sound = new Sound(context);
    const pcm = { encoding: "pcm16", rate: this.#sound.rateHz };
    const own = { ...(uid === undefined ? {} : { user_uid: uid }), ...(name ? { user_name: name } : {}) };
    const config = { ...start, ...own, audio_in: pcm, audio_out: pcm };
    this.#socket = new BridgeSocket({ server, channel, config, token });
    this.#listen();
  }

  /** Only the agent. */
  get members() {
    return this.#agent === null ? [] : [this.#agent];
  }

  get agentLink() {
    if (this.#agent === null) return "none";
    return this.#socket.isOpen ? "connected" : "broken";
  }

  get backlogBytes() {
    return this.#socket.backlogBytes;
  }

  readLevel() {
    return this.#sound.readLevel();
  }

  /** Rejects with ParleyError. */
  async connect() {
    await this.#sound.open(this.#track, (piece) => this.#socket.sendAudio(piece));
    await this.#socket.connect();
    if (this.#isClosed) return;
    // From now on: before, whoever waits for `connect` is told.
    this.#socket.addEventListener("refused", ({ detail }) => emit(this, "refused", detail));
    this.#reporting = setInterval(() => this.#report(), REPORT_MS);
    this.#report();
    if (this.#sound.isBlocked) setTimeout(() => emit(this, "sound_blocked"));
  }

  /** Give a ClientEvent to the agent; false when it cannot take it now. */
  send(event) {
    return this.#socket.send(event);
  }

  /** There is no chat over a bridge. */
  sendChat() {
    return false;
  }

  /** Nobody else is there to be told. */
  announceMute() {}

  async playSound() {
    // The context runs again by now; the voice goes through it.
  }

  close() {
    if (this.#isClosed) return;
    this.#isClosed = true;
    clearInterval(this.#reporting);
    this.#socket.close();
    this.#sound.close();
  }

  #listen() {
    const listen = (name, handle) => this.#socket.addEventListener(name, ({ detail }) => handle(detail));
    listen("created", (session) => this.#handleCreated(session));
    listen("event", (event) => this.#handleEvent(event));
    listen("audio", (piece) => this.#sound.play(piece));
    listen("lost", (detail) => {
      this.isLost = true;
      emit(this, "lost", detail);
    });
    listen("over", ({ reason }) => this.#handleOver(reason));
  }

  #handleCreated({ uid, agent_id: instance, agent_name: name }) {
    this.uid = uid;
    this.#agent = { uid: 0, name, role: "agent", is_muted: false, instance };
    if (this.isLost) {
      this.isLost = false;
      this.#sound.clear(); // what was under way is over
      emit(this, "regained");
    }
    emit(this, "members");
  }

  #handleEvent(event) {
    if (event.type === "agent_interrupted") this.#sound.clear();
    if (REPLY_ENDS.has(event.type)) this.#sound.end();
    emit(this, "event", event);
  }

  #handleOver(reason) {
    const agent = this.#agent;
    this.#agent = null;
    if (agent !== null) emit(this, "left", { member: agent, reason });
    emit(this, "over", { reason });
  }

  // How late the voice is heard here: what counts as heard depends on it.
  #report() {
    this.send({ type: "client_playout_report", playout_delay_ms: this.#sound.delayMs });
  }
}

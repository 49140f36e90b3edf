// The way by WebRTC: the room's signaling, a connection to each member, and the sound of them all.

import { RefusedError } from "./errors.js";
import { emit } from "./events.js";
import { LevelMeter } from "./levels.js";
import { Mesh } from "./mesh.js";
import { INSTANCE, Place, randomWord } from "./place.js";
import { Signaling } from "./signaling.js";

const REPORT_MS = 1000;
const DEAD_STATES = new Set(["failed", "disconnected", "closed"]);
const NOT_OURS = new Set(["forbidden", "uid_taken"]);

/**
 * A transport of `Call`. Events: `members`, `state` (something about the connection changed), `event` (of an
 * agent), `chat` ({from, text}), `left` ({member, reason}), `lost` ({retryInMs}), `regained`, `refused`
 * (ParleyError; nothing follows it), `peer_refused` ({member, message}), `peer_open` ({member}), `sound_blocked`.
 */
export class Room extends EventTarget {
  #options;
  #place;
  #signaling = null;
  #mesh;
  #context;
  #meter;
  #players = new Map();
  #reporting = 0;
  #isMuted = false;
  #isClosed = false;
  uid = 0;
  isLost = false;

  /** uid: absent, the one that this tab had in the room, or one that the server picks; role: user or listener. */
  constructor({ server, channel, uid, name, token, track, context, role = "user" }) {
    super();
    this.#options = { server, channel, uid, name, token, role };
    // Who talks and listens in from one tab has two places.
    this.#place = new Place(server.href, role === "user" ? channel : `${channel} ${role}`);
    this.#context = context;
    this.#meter = new LevelMeter(context);
    this.#mesh = new Mesh({ track, send: (frame) => this.#signaling.send(frame) });
    this.#listenToPeers();
  }

  get members() {
    return this.#mesh.members;
  }

  /** Connection state towards the agents: none, connecting, connected or broken. */
  get agentLink() {
    const agents = this.members.filter(({ role }) => role === "agent");
    const states = agents.map(({ uid }) => this.#mesh.stateOf(uid));
    if (states.length === 0) return "none";
    if (states.includes("connected")) return "connected";
    return states.some((state) => DEAD_STATES.has(state)) ? "broken" : "connecting";
  }

  /** Loudness of the agents, 0 to 1. */
  readLevel() {
    return this.#meter.read();
  }

  /** Rejects with ParleyError when the room does not take us. */
  async connect() {
    const place = this.#place.get();
    const { uid } = this.#options;
    const isKept = place !== null && (uid === undefined || uid === place.uid);
    try {
      await this.#enter(isKept ? { uid: place.uid, resume_secret: place.secret } : uid === undefined ? {} : { uid });
    } catch (error) {
      if (!(error instanceof RefusedError && NOT_OURS.has(error.code) && isKept) || this.#isClosed) throw error;
      this.#place.forget(); // another one's by now, or our token is for another
      if (uid !== undefined) throw error;
      await this.#enter({});
    }
    this.#reporting = setInterval(() => this.#mesh.reportPlayout(), REPORT_MS);
  }

  async #enter(place) {
    const { server, channel, name, token, role } = this.#options;
    const hello = { ...place, role, instance: INSTANCE, ...(name ? { name } : {}) };
    this.#signaling = new Signaling({ server, channel, hello, token });
    this.#listenToRoom(this.#signaling);
    await this.#signaling.connect();
    // From now on: before, whoever waits for `connect` is told.
    this.#signaling.addEventListener("refused", ({ detail }) => emit(this, "refused", detail));
  }

  /** Give a ClientEvent to every agent; false when none can take it now. */
  send(event) {
    return this.#mesh.sendToAgents(event);
  }

  /** Of events that wait to be sent to an agent. */
  get backlogBytes() {
    return this.#mesh.backlogBytes;
  }

  /** A chat message to everybody; false while the server is lost. */
  sendChat(text) {
    return this.#signaling.send({ type: "chat", text, message_id: randomWord() });
  }

  /** Tell the others; being silent is the microphone's part. */
  announceMute(isMuted) {
    this.#isMuted = isMuted;
    this.#signaling.send({ type: "mute", is_muted: isMuted });
  }

  /** Play again what the browser held back. */
  async playSound() {
    for (const player of this.#players.values()) await player.play();
  }

  close() {
    this.#isClosed = true;
    clearInterval(this.#reporting);
    this.#signaling?.close();
    this.#mesh.close();
  }

  #listenToRoom(signaling) {
    signaling.addEventListener("joined", ({ detail }) => this.#handleJoined(detail));
    signaling.addEventListener("frame", ({ detail }) => this.#handleFrame(detail));
    signaling.addEventListener("lost", ({ detail }) => {
      this.isLost = true;
      emit(this, "lost", detail);
    });
  }

  #handleJoined(frame) {
    this.uid = frame.uid;
    this.#place.keep(frame.uid, frame.resume_secret);
    this.#mesh.handleJoined(frame);
    if (this.#isMuted) this.announceMute(true);
    if (this.isLost) {
      this.isLost = false;
      emit(this, "regained");
    }
    emit(this, "state");
  }

  #handleFrame(frame) {
    if (frame.type === "chat") this.#handleChat(frame);
    else if (frame.type === "error") this.#handleError(frame);
    else this.#mesh.handleFrame(frame);
  }

  // An agent's chat repeats the transcript for clients without a data channel; we have one.
  #handleChat({ from, text }) {
    const sender = this.members.find(({ uid }) => uid === from);
    if (sender?.role !== "agent") emit(this, "chat", { from: sender?.name || `Guest ${from}`, text });
  }

  // The addressed member may just have left: that is not worth a word to anybody.
  #handleError({ code, message, request }) {
    if (code !== "unknown_member") console.warn(`room refused ${request}: ${code}: ${message}`);
  }

  #listenToPeers() {
    const mesh = this.#mesh;
    for (const name of ["members", "state", "left", "peer_open"]) {
      mesh.addEventListener(name, ({ detail }) => emit(this, name, detail));
    }
    mesh.addEventListener("refused", ({ detail }) => emit(this, "peer_refused", detail));
    mesh.addEventListener("peer_open", () => this.#mesh.reportPlayout());
    mesh.addEventListener("event", ({ detail: { member, event } }) => {
      if (member.role === "agent") emit(this, "event", event);
    });
    mesh.addEventListener("stream", ({ detail }) => this.#play(detail));
    mesh.addEventListener("stream_ended", ({ detail }) => this.#silence(detail.uid));
  }

  async #play({ member, stream }) {
    this.#silence(member.uid);
    const player = new Audio();
    player.autoplay = true;
    player.srcObject = stream;
    this.#players.set(member.uid, player);
    if (member.role === "agent") this.#meter.add(member.uid, stream);
    try {
      await player.play();
    } catch (error) {
      if (error.name === "NotAllowedError") emit(this, "sound_blocked");
    }
  }

  #silence(uid) {
    this.#meter.remove(uid);
    const player = this.#players.get(uid);
    if (player !== undefined) player.srcObject = null;
    this.#players.delete(uid);
  }
}

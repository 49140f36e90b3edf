// One call: the room, the connections to its members, our microphone and the sound of the others.

import { byId, element, emit } from "./dom.js";
import { INSTANCE, forgetUid, randomWord, resumeSecret } from "./identity.js";
import { LevelMeter } from "./levels.js";
import { Mesh } from "./mesh.js";
import { Signaling } from "./signaling.js";

const REPORT_MS = 1000;
const DEAD_STATES = new Set(["failed", "disconnected", "closed"]);

/**
 * Events: `members`, `state` (something about the connection changed), `event` (ServerEvent of an
 * agent), `chat` ({from, text}), `left` ({member, reason}), `lost` ({retryInMs}), `regained`,
 * `refused` (RefusedError or ApiError; the call is over), `peer_refused` ({member, message}: that one
 * makes no connection with us), `peer_open` ({member}), `sound_blocked`.
 */
export class Call extends EventTarget {
  #signaling;
  #mesh;
  #microphone;
  #context;
  #meters;
  #players = new Map();
  #reporting;
  #sessionId = "";
  #hasJoined = false;
  #hasManualTurns = false;
  isLost = false;
  isMuted = false;
  isTalking = false;

  /** microphone: MediaStream, or null to listen and type only; context: a running AudioContext. */
  constructor({ channel, uid, name, microphone, context, mintToken }) {
    super();
    this.channel = channel;
    this.uid = uid;
    this.#microphone = microphone;
    this.#context = context;
    this.#meters = { user: new LevelMeter(context), agent: new LevelMeter(context) };
    const track = microphone?.getAudioTracks()[0] ?? null;
    const secret = resumeSecret.get(channel);
    const optional = { ...(name === "" ? {} : { name }), ...(secret === "" ? {} : { resume_secret: secret }) };
    const hello = { uid, instance: INSTANCE, ...optional };
    this.#signaling = new Signaling({ channel, hello, mintToken });
    this.#mesh = new Mesh({ uid, track, send: (frame) => this.#signaling.send(frame) });
    this.#listenToRoom();
    this.#listenToPeers();
    if (microphone !== null) this.#meters.user.add("microphone", microphone);
    this.#reporting = setInterval(() => this.#reportPlayout(), REPORT_MS);
  }

  get hasMicrophone() {
    return this.#microphone !== null;
  }

  get members() {
    return this.#mesh.members;
  }

  get agents() {
    return this.members.filter(({ role }) => role === "agent");
  }

  /** Connection state towards the agents: none, connecting, connected or broken. */
  get agentLink() {
    const states = this.agents.map(({ uid }) => this.#mesh.stateOf(uid));
    if (states.length === 0) return "none";
    if (states.includes("connected")) return "connected";
    return states.some((state) => DEAD_STATES.has(state)) ? "broken" : "connecting";
  }

  /** Loudness of both sides now, 0 to 1. */
  readLevels() {
    return { user: this.isMuted ? 0 : this.#meters.user.read(), agent: this.#meters.agent.read() };
  }

  /** Rejects with RefusedError when the room does not take us. */
  async join() {
    await this.#signaling.connect();
  }

  setMuted(isMuted) {
    this.isMuted = isMuted;
    this.#applyMicrophone();
    this.#signaling.send({ type: "mute", is_muted: isMuted });
  }

  /** Push to talk: the microphone is off except between `startTalking` and `stopTalking`. */
  get hasManualTurns() {
    return this.#hasManualTurns;
  }

  set hasManualTurns(hasManualTurns) {
    this.#hasManualTurns = hasManualTurns;
    this.#applyMicrophone();
  }

  /** Take the floor; false when no agent can hear it now. */
  startTalking() {
    this.isTalking = this.#mesh.sendToAgents({ type: "client_activity_start", session_id: this.#sessionId });
    this.#applyMicrophone();
    return this.isTalking;
  }

  /** Give the floor back, to be answered. */
  stopTalking() {
    this.isTalking = false;
    this.#applyMicrophone();
    return this.#mesh.sendToAgents({ type: "client_activity_end", session_id: this.#sessionId });
  }

  #applyMicrophone() {
    const isOn = !this.isMuted && (this.isTalking || !this.#hasManualTurns);
    for (const track of this.#microphone?.getAudioTracks() ?? []) track.enabled = isOn;
  }

  /** Written words for the agents; false when none can take them now. */
  sendText(text) {
    return this.#mesh.sendToAgents({ type: "client_text_append", session_id: this.#sessionId, text });
  }

  /** The answer to a tool call that waited for us; false when no agent can take it now. */
  answerTool(id, name, output) {
    return this.#mesh.sendToAgents({ type: "client_tool_result", session_id: this.#sessionId, id, name, output });
  }

  /** Allow or forbid a tool call; false when no agent can take it now. */
  approveTool(id, { approve, always }) {
    return this.#mesh.sendToAgents({ type: "client_tool_approval", session_id: this.#sessionId, id, approve, always });
  }

  /** A chat message to everybody; false while the server is lost. */
  sendChat(text) {
    return this.#signaling.send({ type: "chat", text, message_id: randomWord() });
  }

  /** Try again to play what the browser held back; needs a click. */
  async playSound() {
    await this.#context.resume();
    for (const player of this.#players.values()) await player.play();
  }

  leave() {
    clearInterval(this.#reporting);
    this.#signaling.close();
    this.#mesh.close();
    for (const track of this.#microphone?.getTracks() ?? []) track.stop();
    this.#context.close();
  }

  #listenToRoom() {
    this.#signaling.addEventListener("joined", ({ detail }) => this.#handleJoined(detail));
    this.#signaling.addEventListener("frame", ({ detail }) => this.#handleFrame(detail));
    this.#signaling.addEventListener("lost", ({ detail }) => {
      this.isLost = true;
      emit(this, "lost", detail);
    });
    this.#signaling.addEventListener("refused", ({ detail }) => {
      if (detail.code === "uid_taken") forgetUid();
      if (this.#hasJoined) emit(this, "refused", detail);
    });
  }

  #handleJoined(frame) {
    resumeSecret.set(this.channel, frame.resume_secret);
    this.#mesh.handleJoined(frame);
    if (this.isMuted) this.#signaling.send({ type: "mute", is_muted: true });
    if (this.isLost) emit(this, "regained");
    this.#hasJoined = true;
    this.isLost = false;
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
    mesh.addEventListener("members", () => {
      emit(this, "members");
      emit(this, "state");
    });
    mesh.addEventListener("state", () => emit(this, "state"));
    mesh.addEventListener("open", ({ detail }) => {
      emit(this, "peer_open", detail);
      emit(this, "state");
      this.#reportPlayout();
    });
    mesh.addEventListener("left", ({ detail }) => emit(this, "left", detail));
    mesh.addEventListener("refused", ({ detail }) => emit(this, "peer_refused", detail));
    mesh.addEventListener("event", ({ detail }) => this.#handleEvent(detail));
    mesh.addEventListener("stream", ({ detail }) => this.#play(detail));
    mesh.addEventListener("stream_ended", ({ detail }) => this.#silence(detail.uid));
  }

  #handleEvent({ member, event }) {
    if (member.role !== "agent") return;
    if (event.type === "server_session_created") this.#sessionId = event.session_id;
    emit(this, "event", event);
  }

  #reportPlayout() {
    this.#mesh.reportPlayout(this.#sessionId);
  }

  async #play({ member, stream }) {
    this.#silence(member.uid);
    const player = element("audio", { autoplay: true });
    player.srcObject = stream;
    this.#players.set(member.uid, player);
    byId("remote-audio").append(player);
    if (member.role === "agent") this.#meters.agent.add(member.uid, stream);
    try {
      await player.play();
    } catch (error) {
      if (error.name === "NotAllowedError") emit(this, "sound_blocked");
    }
  }

  #silence(uid) {
    this.#meters.agent.remove(uid);
    this.#players.get(uid)?.remove();
    this.#players.delete(uid);
  }
}

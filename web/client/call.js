// One call, however it is carried: our microphone, what is said, who is here, and what state it is in.

import { AgentExit } from "./agent_exit.js";
import { Conversation } from "./conversation.js";
import { OptionError, ParleyError } from "./errors.js";
import { Emitter, emit } from "./events.js";
import { imageEvents } from "./images.js";
import { LevelMeter } from "./levels.js";
import { PictureShare, shareableSources } from "./picture_share.js";
import { TurnState } from "./turn_state.js";

const MAX_TEXT_CHARACTERS = 8000;
// With more that waits to be sent the voice, which goes the same way, would come late.
const MAX_BACKLOG_BYTES = 32 * 1024;
const BACKLOG_LOOK_MS = 50;

/**
 * Events, by `on(name, listener)`:
 * - `state` (word): `state` is another one
 * - `transcript` (Line): words were added to the conversation, or became final
 * - `event` (object): a server event of an agent, docs/events.md
 * - `members`: people or agents came, went or changed
 * - `chat` ({from, text}): of another person
 * - `left` ({member, reason, message}): reason and message say why, as far as it is known
 * - `agent_gone` ({reason, message}): the last agent left and does not come back by itself; `agent_back`:
 *   one that was lost suddenly is here again
 * - `lost` ({retryInMs}), `regained`: the server; words go on without it over WebRTC
 * - `sharing` ("camera", "screen" or null): what the agents are shown is another one
 * - `problem` (ParleyError): something did not work, the call goes on
 * - `ended` ({reason, error}): reason is `left` after `leave()`, else the code of `error`; over WebSocket it is the
 *   agent's reason when it left, and `error` is null
 * - `changes` ({changed, removed}), `connection`: for pages that show everything
 *
 * @typedef {object} Line words of somebody
 * @property {string} id
 * @property {"user"|"agent"} role
 * @property {string} speaker
 * @property {string} text of a reply that was interrupted, what was heard of it
 * @property {boolean} isFinal no more is added
 * @property {boolean} isInterrupted
 * @property {boolean} isRemoved it was noise: `text` is empty, take it away
 */
export class Call extends Emitter {
  #transport;
  #microphone;
  #context;
  #meter;
  #exit = new AgentExit();
  #turns = new TurnState();
  #hasManualTurns = false;
  #hasImageInput = false;
  #share = null; // of a camera or the screen
  #isTalking = false;
  #isMuted = false;
  #hasJoined = false;
  #hasEnded = false;
  #isAwaitingReturn = false;
  #state = "connecting";
  #leaveWithPage = () => this.leave();

  /** What was said, as a list of entries; `client/conversation.js`. */
  conversation = new Conversation();

  /** transport: see `Room`; microphone: MediaStream, or null to listen and type only; context: its AudioContext. */
  constructor({ channel, transport, microphone, context }) {
    super();
    this.channel = channel;
    this.#transport = transport;
    this.#microphone = microphone;
    this.#context = context;
    this.#meter = new LevelMeter(context);
    if (microphone !== null) this.#meter.add("microphone", microphone);
    this.#listen();
    addEventListener("pagehide", this.#leaveWithPage);
  }

  // -- what it is like now ---------------------------------------------------------------------

  /**
   * - `connecting`: sound and events are not there yet
   * - `waiting`: nobody but us, or only people
   * - `listening`, `thinking`, `speaking`: the agent
   * - `reconnecting`: the agent cannot be reached; it is tried again, all the time
   * - `ended`: it is over
   */
  get state() {
    return this.#state;
  }

  /** Our uid in the room. */
  get uid() {
    return this.#transport.uid;
  }

  /** The others: `{uid, name, role, is_muted}`. */
  get members() {
    return this.#transport.members;
  }

  /** Those of them that are agents. */
  get agents() {
    return this.members.filter(({ role }) => role === "agent");
  }

  /** Loudness of both sides now, 0 to 1 on a decibel scale. */
  get level() {
    const isHeard = !this.#isMuted && this.#microphone !== null;
    return { user: isHeard ? this.#meter.read() : 0, agent: this.#transport.readLevel() };
  }

  /** Everything said so far. @returns {Line[]} */
  get transcript() {
    return this.conversation.entries.filter(isLine).map((entry) => lineOf(entry));
  }

  get hasMicrophone() {
    return this.#microphone !== null;
  }

  get isMuted() {
    return this.#isMuted;
  }

  /** Push to talk: the microphone is off except between `startTalking` and `stopTalking`. */
  get hasManualTurns() {
    return this.#hasManualTurns;
  }

  get isTalking() {
    return this.#isTalking;
  }

  /** The agent's model sees pictures. */
  get hasImageInput() {
    return this.#hasImageInput;
  }

  /** What the agents are shown: "camera", "screen" or null. */
  get sharing() {
    return this.#share?.source ?? null;
  }

  /** The same as a MediaStream, for a preview; null when nothing is shared. */
  get sharedStream() {
    return this.#share?.stream ?? null;
  }

  /** The server cannot be reached at the moment. */
  get isLost() {
    return this.#transport.isLost;
  }

  /** The connection to the agents: none, connecting, connected or broken. */
  get agentLink() {
    return this.#transport.agentLink;
  }

  // -- what can be done ------------------------------------------------------------------------

  /** Be silent, or (false) be heard again. */
  mute(isMuted = true) {
    this.#isMuted = isMuted;
    this.#applyMicrophone();
    this.#transport.announceMute(isMuted);
  }

  unmute() {
    this.mute(false);
  }

  /** Push to talk: take the floor; false when no agent can hear it now. */
  startTalking() {
    this.#isTalking = this.send({ type: "client_activity_start" });
    this.#applyMicrophone();
    return this.#isTalking;
  }

  /** Push to talk: give the floor back, to be answered. */
  stopTalking() {
    this.#isTalking = false;
    this.#applyMicrophone();
    return this.send({ type: "client_activity_end" });
  }

  /** Written words for the agents; false when none can take them now. */
  sendText(text) {
    const isFine = typeof text === "string" && text !== "" && [...text].length <= MAX_TEXT_CHARACTERS;
    if (!isFine) throw new ParleyError("invalid_text", `A text has 1 to ${MAX_TEXT_CHARACTERS} characters.`, { title: "Not sent" });
    return this.send({ type: "client_text_append", text });
  }

  /**
   * Show the agents a picture; it is made small enough. False when none can take it now.
   * @param {Blob} picture of any kind that the browser can read
   * @returns {Promise<boolean>} rejects with ParleyError `invalid_image`
   */
  async sendImage(picture) {
    return this.#sendAll(await imageEvents(picture));
  }

  /**
   * Show the agents the camera or the screen: at most one picture a second, of what has changed. Call it in a click.
   * @param {"camera"|"screen"} source takes the place of the other one
   * @returns {Promise<void>} rejects with ParleyError: `no_image_input`, `no_camera`, `camera_denied` and the like
   */
  async share(source) {
    if (!shareableSources().includes(source)) throw new OptionError("`source` is “camera” or “screen”, where the browser has it.");
    const title = "Not shared";
    if (!this.#hasImageInput) throw new ParleyError("no_image_input", "The agent's model sees no pictures.", { title });
    const share = new PictureShare(source, {
      show: (events) => this.#sendPaced(events),
      onEnd: () => this.#setShare(null),
    });
    await share.open();
    if (this.#hasEnded || !this.#hasImageInput) share.stop();
    else this.#setShare(share);
  }

  /** Show the agents nothing any more. */
  stopSharing() {
    this.#setShare(null);
  }

  /** Silence the reply; false when no agent can hear it now. */
  interrupt() {
    return this.send({ type: "client_response_cancel" });
  }

  /** The answer to a tool call that waits for us; false when no agent can take it now. */
  answerTool(id, name, output) {
    return this.send({ type: "client_tool_result", id, name, output });
  }

  /** Allow or forbid a tool call; false when no agent can take it now. */
  approveTool(id, { approve, always = false }) {
    return this.send({ type: "client_tool_approval", id, approve, always });
  }

  /** Any client event of docs/events.md; false when no agent can take it now. */
  send(event) {
    return !this.#hasEnded && this.#transport.send(event);
  }

  /** A chat message to everybody in the room; false while the server is lost. */
  sendChat(text) {
    return !this.#hasEnded && this.#transport.sendChat(text);
  }

  /** Play what the browser held back (`problem` `sound_blocked`); call it in a click. */
  async playSound() {
    await this.#context.resume();
    await this.#transport.playSound();
  }

  /** Say goodbye, give the microphone back. Safe to repeat. */
  async leave() {
    this.#end({ reason: "left", error: null });
  }

  // -- inside ----------------------------------------------------------------------------------

  /** Once. Rejects with ParleyError; the call is over then. */
  async join() {
    try {
      await this.#transport.connect();
    } catch (error) {
      this.#end({ reason: error.code ?? "failed", error });
      throw error;
    }
    this.#hasJoined = true;
    this.#refresh();
  }

  #listen() {
    const listen = (name, handle) =>
      this.#transport.addEventListener(name, ({ detail }) => {
        if (!this.#hasEnded) handle(detail);
      });
    listen("members", () => this.#handleMembers());
    listen("state", () => this.#refresh());
    listen("event", (event) => this.#handleEvent(event));
    listen("left", (detail) => this.#handleLeft(detail));
    listen("over", ({ reason }) => this.#end({ reason, error: null }));
    listen("refused", (error) => this.#end({ reason: error.code ?? "failed", error }));
    listen("peer_refused", ({ member, message }) => {
      const title = `${member?.name || "A member"} makes no connection with this page`;
      emit(this, "problem", new ParleyError("peer_refused", message, { title }));
    });
    listen("sound_blocked", () => {
      const title = "Your browser holds the sound back";
      emit(this, "problem", new ParleyError("sound_blocked", "It waits for a click: call playSound() in one.", { title }));
    });
    for (const name of ["chat", "lost", "regained", "peer_open"]) {
      listen(name, (detail) => {
        emit(this, name, detail);
        this.#refresh();
      });
    }
  }

  #handleMembers() {
    const isAlone = !this.members.some(({ role }) => role === "user");
    this.conversation.userLabel = isAlone ? "You" : "Someone here";
    if (this.agents.length > 0) this.#exit.handleBack();
    emit(this, "members");
    this.#refresh();
  }

  #handleEvent(event) {
    if (event.type === "agent_ready") this.#handleReady(event);
    if (event.type === "agent_ended") this.#exit.handleEnded(event.reason);
    this.#turns.apply(event);
    const changes = this.conversation.apply(event);
    emit(this, "event", event);
    emit(this, "changes", { ...changes, event });
    for (const entry of changes.removed.filter(isLine)) emit(this, "transcript", lineOf(entry, true));
    for (const entry of changes.changed.filter(isLine)) emit(this, "transcript", lineOf(entry));
    if (event.type === "agent_error") {
      emit(this, "problem", new ParleyError(event.code, event.message, { title: "The agent could not do something" }));
    }
    this.#refresh();
  }

  #sendAll(events) {
    return events.every((event) => this.send(event));
  }

  // One after the other, each once the way is free.
  async #sendPaced(events) {
    for (const event of events) {
      while (this.#transport.backlogBytes > MAX_BACKLOG_BYTES && !this.#hasEnded) {
        await new Promise((resolve) => setTimeout(resolve, BACKLOG_LOOK_MS));
      }
      if (!this.send(event)) return false;
    }
    return true;
  }

  #setShare(share) {
    if (this.#share === null && share === null) return;
    this.#share?.stop();
    this.#share = share;
    emit(this, "sharing", this.sharing);
  }

  #handleReady(event) {
    this.#hasManualTurns = event.has_manual_turns === true;
    this.#hasImageInput = event.has_image_input === true;
    if (this.#hasImageInput) this.#share?.repeat();
    else this.stopSharing();
    // Another process of the agent does not know that somebody is in the middle of a sentence.
    if (this.#isTalking) this.startTalking();
    this.#applyMicrophone();
  }

  #handleLeft({ member, reason }) {
    if (member.role !== "agent") {
      emit(this, "left", { member, reason, message: "" });
      return;
    }
    const exit = this.#exit.handleLeft(reason);
    emit(this, "left", { member, reason: exit.reason, message: exit.message });
    if (this.agents.length > 0) return;
    this.#turns.reset();
    if (exit.isSudden) this.#awaitReturn(exit);
    else emit(this, "agent_gone", exit);
  }

  #awaitReturn(exit) {
    this.#isAwaitingReturn = true;
    this.#exit.awaitReturn({
      onGone: () => {
        this.#isAwaitingReturn = false;
        emit(this, "agent_gone", exit);
        this.#refresh();
      },
      onBack: () => {
        this.#isAwaitingReturn = false;
        emit(this, "agent_back");
      },
    });
  }

  #applyMicrophone() {
    const isOn = !this.#isMuted && (this.#isTalking || !this.#hasManualTurns);
    for (const track of this.#microphone?.getAudioTracks() ?? []) track.enabled = isOn;
  }

  #findState() {
    if (this.#hasEnded) return "ended";
    if (!this.#hasJoined) return "connecting";
    switch (this.agentLink) {
      case "none": return this.#isAwaitingReturn ? "reconnecting" : "waiting";
      case "connected": return this.#turns.word;
      case "broken": return "reconnecting";
      default: return "connecting";
    }
  }

  #refresh() {
    const state = this.#findState();
    const isNew = state !== this.#state;
    this.#state = state;
    emit(this, "connection");
    if (isNew) emit(this, "state", state);
  }

  #end(how) {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    removeEventListener("pagehide", this.#leaveWithPage);
    this.#exit.forget();
    this.stopSharing();
    this.#transport.close();
    for (const track of this.#microphone?.getTracks() ?? []) track.stop();
    if (this.#context.state !== "closed") this.#context.close();
    this.#refresh();
    emit(this, "ended", how);
  }
}

function isLine({ kind } = {}) {
  return kind === "user" || kind === "agent";
}

function lineOf({ key, kind, speaker, text, state }, isRemoved = false) {
  return {
    id: key,
    role: kind,
    speaker: speaker ?? "",
    text: isRemoved ? "" : text,
    isFinal: !["hearing", "speaking"].includes(state),
    isInterrupted: state === "interrupted",
    isRemoved,
  };
}

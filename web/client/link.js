// The lasting link to one member: its peer connection, and a successor beside it when that dies.

import { emit } from "./events.js";
import { randomWord } from "./place.js";
import { PathWatch } from "./path_watch.js";
import { Peer } from "./peer.js";

const WATCH_MS = 250;
const OTHER_SIDE_OFFERS_MS = 500;
const OVERLAP_MS = 500;
const REPEAT_MS = 2000;
const CONNECT_MS = 15_000;
const PATH_MS = 6000;
const BACKOFF_MS = [0, 500, 1000, 2000, 4000, 8000];
const MAX_REFUSAL_CHARACTERS = 500;
const DEAD_STATES = new Set(["failed", "closed"]);

/**
 * Events: `signal` (a frame for the member), `stream` (MediaStream), `stream_ended`, `event`
 * (ServerEvent), `open` (events can be sent), `state` (something about the connection changed),
 * `refused` ({message}: the member does not use our description).
 */
export class Link extends EventTarget {
  #uid;
  #ownUid;
  #track;
  #ice;
  #isOfferer = false;
  #peer = null; // in use
  #next = null; // being negotiated, to take its place
  #failures = 0;
  #watch = new PathWatch();
  #timers = new Map();
  #isClosed = false;

  /** ice: called for each new connection, since credentials expire; track: our microphone, or null. */
  constructor({ uid, ownUid, track, ice }) {
    super();
    this.#uid = uid;
    this.#ownUid = ownUid;
    this.#track = track;
    this.#ice = ice;
    this.#timers.set("watch", setInterval(() => this.#look(), WATCH_MS));
  }

  /**
   * W3C word for the connection, or "none". "connected" says that voices and events flow: while nothing comes over
   * it is "disconnected", and before events can be sent, for which there is a handshake of their own, "connecting".
   */
  get state() {
    if (this.#peer === null) return this.#next?.state === "connected" ? "connecting" : this.#next?.state ?? "none";
    return this.#peer.state === "connected" && this.#watch.isDead ? "disconnected" : this.#peer.state;
  }

  /** Give a ClientEvent to the member; false when it cannot take it now. */
  send(event) {
    return this.#peer?.send(event) ?? false;
  }

  /** Of events that wait to be sent. */
  get backlogBytes() {
    return this.#peer?.backlogBytes ?? 0;
  }

  /** Tell the member how late its voice is heard here, if there is news. */
  async reportPlayout() {
    if (!this.#peer?.isOpen) return;
    await this.#attempt(this.#peer, async (peer) => {
      const report = await peer.readPlayout();
      if (report !== null) peer.send({ type: "client_playout_report", ...report });
    });
  }

  /** Call the member, now and whenever the connection is lost. */
  offer() {
    this.#isOfferer = true;
    this.#offerNow();
  }

  handleDescription(frame) {
    const isThis = (peer) => peer?.connectionId === frame.connection_id;
    if (frame.sdp_type === "answer") {
      if (isThis(this.#next) && !this.#next.isAnswered) this.#accept(frame);
      return;
    }
    const known = [this.#next, this.#peer].find(isThis);
    if (known !== undefined) {
      if (known.isAnswered) known.repeat();
      return;
    }
    const isGlare = this.#next?.isOfferer && !this.#next.isAnswered;
    if (isGlare && this.#ownUid < this.#uid) {
      this.#next.repeat(); // ours counts, and may not have arrived
      return;
    }
    this.#open(frame.connection_id, false);
    this.#accept(frame);
  }

  handleCandidate(frame) {
    const peer = [this.#next, this.#peer].find((one) => one?.connectionId === frame.connection_id);
    if (peer !== undefined) this.#attempt(peer, () => peer.handleCandidate(frame));
  }

  /** The member does not use our description: say why, and offer again after a while. */
  handleRefusal({ connection_id: id, message }) {
    if (this.#next?.connectionId !== id) return;
    emit(this, "refused", { message });
    this.#fail(this.#next);
  }

  /** The room is back: what was said meanwhile may be lost. */
  handleRejoined() {
    if (this.#next?.isOfferer && !this.#next.isAnswered) this.#next.repeat();
  }

  close() {
    this.#isClosed = true;
    for (const timer of this.#timers.values()) clearTimeout(timer); // intervals too
    this.#timers.clear();
    this.#drop();
    this.#peer?.close();
    this.#peer = null;
    emit(this, "stream_ended");
  }

  // -- a connection comes to be ---------------------------------------------------------------------

  #offerNow() {
    this.#open(randomWord(), true);
    this.#attempt(this.#next, (next) => next.offer());
    this.#repeatUnanswered(this.#next);
  }

  // A socket to the room that died unnoticed may have swallowed the offer, or its answer.
  #repeatUnanswered(next) {
    this.#later("repeat", REPEAT_MS, () => {
      if (next !== this.#next || next.isAnswered) return;
      next.repeat();
      this.#repeatUnanswered(next);
    });
  }

  #accept(frame) {
    const next = this.#next;
    this.#limitPath(next);
    this.#attempt(next, async () => {
      try {
        await next.handleDescription(frame);
      } catch (error) {
        if (next.state !== "closed") this.#refuse(next, frame, error);
        throw error;
      }
    });
  }

  #refuse(next, { sdp_type: kind }, { message }) {
    const refusal = { code: "invalid", message: String(message).slice(0, MAX_REFUSAL_CHARACTERS) };
    if (kind === "offer") emit(this, "signal", { type: "refuse", connection_id: next.connectionId, ...refusal });
    this.#fail(next);
  }

  #limit(next) {
    this.#later("attempt", CONNECT_MS, () => this.#fail(next));
  }

  // Addresses that just changed may have been told wrongly: better begin anew.
  #limitPath(next) {
    this.#later("attempt", PATH_MS, () => (next.hasPath ? this.#limit(next) : this.#fail(next)));
  }

  #open(connectionId, isOfferer) {
    this.#drop();
    this.#clear("retry");
    const peer = new Peer({ connectionId, isOfferer, ice: this.#ice(), track: this.#track });
    this.#next = peer;
    peer.addEventListener("signal", ({ detail }) => emit(this, "signal", detail));
    peer.addEventListener("event", ({ detail }) => {
      if (!this.#isClosed) emit(this, "event", detail);
    });
    peer.addEventListener("open", () => this.#handleChange(peer));
    peer.addEventListener("state", () => this.#handleChange(peer));
    this.#limit(peer);
    emit(this, "state");
  }

  // A peer that was closed meanwhile rejects whatever was under way: that is no failure.
  async #attempt(peer, step) {
    try {
      await step(peer);
    } catch (error) {
      if (peer.state !== "closed") console.warn("peer connection:", error);
    }
  }

  #handleChange(peer) {
    if (peer === this.#next && peer.isReady) this.#adopt(peer);
    else if (peer === this.#next && DEAD_STATES.has(peer.state)) this.#fail(peer);
    else if (peer === this.#peer && DEAD_STATES.has(peer.state)) this.#replace();
    if (peer === this.#next || peer === this.#peer) emit(this, "state");
  }

  #adopt(peer) {
    const old = this.#peer;
    this.#peer = peer;
    this.#next = null;
    this.#failures = 0;
    this.#watch = new PathWatch();
    for (const name of ["attempt", "repeat", "retry"]) this.#clear(name);
    // A moment later, so that the other side has turned to the new one as well.
    if (old !== null) setTimeout(() => old.close(), OVERLAP_MS);
    if (peer.stream !== null) emit(this, "stream", peer.stream);
    emit(this, "open");
  }

  #fail(peer) {
    if (peer !== this.#next) return;
    this.#drop();
    const waitMs = BACKOFF_MS[Math.min((this.#failures += 1), BACKOFF_MS.length - 1)];
    this.#later("retry", waitMs, () => {
      if (this.#isNeeded) this.#offerNow();
    });
    emit(this, "state");
  }

  #drop() {
    const next = this.#next;
    this.#next = null;
    this.#clear("attempt");
    this.#clear("repeat");
    next?.close();
  }

  // -- and is watched -------------------------------------------------------------------------------

  get #isNeeded() {
    return this.#peer === null || DEAD_STATES.has(this.#peer.state) || this.#watch.isDead;
  }

  async #look() {
    const peer = this.#peer;
    if (peer === null || peer.state !== "connected") return;
    const count = await peer.countReceived();
    if (peer !== this.#peer || this.#isClosed) return;
    const wasDead = this.#watch.isDead;
    if (this.#watch.note(count, performance.now())) this.#replace();
    if (wasDead !== this.#watch.isDead) emit(this, "state");
  }

  // Browsers could restart ICE, aiortc cannot: a dead connection is replaced, first by who offered it.
  #replace() {
    if (this.#isClosed || this.#next !== null || this.#timers.has("retry")) return;
    this.#later("retry", this.#isOfferer ? 0 : OTHER_SIDE_OFFERS_MS, () => {
      if (this.#isNeeded && this.#next === null) this.#offerNow();
    });
  }

  #later(key, waitMs, action) {
    this.#clear(key);
    this.#timers.set(key, setTimeout(() => {
      this.#timers.delete(key);
      action();
    }, waitMs));
  }

  #clear(key) {
    clearTimeout(this.#timers.get(key));
    this.#timers.delete(key);
  }
}

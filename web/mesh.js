// Members of the room and our peer connection to each: the rules of docs/signaling.md, sections 3 and 4.

import { emit } from "./dom.js";
import { randomWord } from "./identity.js";
import { Peer } from "./peer.js";

const DISCONNECTED_GRACE_MS = 5000;
const OTHER_SIDE_OFFERS_MS = 3000;
const REJOIN_GRACE_MS = 5000;

/**
 * Events: `members` (the list changed), `stream` ({member, stream}), `stream_ended` ({uid}),
 * `event` ({member, event}), `open` ({member}), `state` ({member, state}), `left` ({member, reason}).
 */
export class Mesh extends EventTarget {
  #members = new Map();
  #peers = new Map();
  #timers = new Map();
  #send;
  #uid;
  #track;
  #ice = { servers: [], isRelayOnly: false };

  /** send: passes a frame to the room; track: our microphone, or null. */
  constructor({ uid, track, send }) {
    super();
    this.#uid = uid;
    this.#track = track;
    this.#send = send;
  }

  get members() {
    return [...this.#members.values()];
  }

  /** The state of the connection to `uid`: W3C word, or "none". */
  stateOf(uid) {
    return this.#peers.get(uid)?.state ?? "none";
  }

  /** Give a ClientEvent to every agent; false when none could take it. */
  sendToAgents(event) {
    const agents = this.members.filter((member) => member.role === "agent");
    return agents.map(({ uid }) => this.#peers.get(uid)?.send(event) ?? false).some(Boolean);
  }

  handleJoined({ members, ice_servers: servers, is_relay_only: isRelayOnly }) {
    this.#ice = { servers, isRelayOnly };
    for (const member of members) {
      const isSame = this.#members.get(member.uid)?.instance === member.instance;
      this.#clearTimer(`gone ${member.uid}`);
      this.#members.set(member.uid, member);
      if (member.via === null && !(isSame && this.#isUsable(member.uid))) this.#offer(member.uid);
    }
    const present = new Set(members.map(({ uid }) => uid));
    for (const uid of this.#members.keys()) {
      if (!present.has(uid)) this.#later(`gone ${uid}`, REJOIN_GRACE_MS, () => this.#remove(uid, "vanished"));
    }
    emit(this, "members");
  }

  handleFrame(frame) {
    switch (frame.type) {
      case "member_joined": return this.#handleMemberJoined(frame.member);
      case "member_left": return this.#remove(frame.uid, frame.reason);
      case "member_updated": return this.#handleMemberUpdated(frame.member);
      case "description": return this.#handleDescription(frame);
      case "candidate": return this.#handleCandidate(frame);
      default: return undefined;
    }
  }

  close() {
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
    for (const uid of [...this.#peers.keys()]) this.#closePeer(uid);
    this.#members.clear();
  }

  // An offer that was never answered is lost with the socket that carried it.
  #isUsable(uid) {
    const isAlive = ["new", "connecting", "connected"].includes(this.stateOf(uid));
    return isAlive && this.#peers.get(uid).isAnswered;
  }

  #handleMemberJoined(member) {
    this.#clearTimer(`gone ${member.uid}`);
    const isSame = this.#members.get(member.uid)?.instance === member.instance;
    if (!isSame) this.#closePeer(member.uid);
    this.#members.set(member.uid, member);
    emit(this, "members");
  }

  #handleMemberUpdated(member) {
    this.#members.set(member.uid, member);
    emit(this, "members");
  }

  #remove(uid, reason) {
    const member = this.#members.get(uid);
    if (member === undefined) return;
    this.#closePeer(uid);
    this.#members.delete(uid);
    emit(this, "left", { member, reason });
    emit(this, "members");
  }

  async #handleDescription(frame) {
    const uid = frame.from;
    const known = this.#peers.get(uid);
    if (known?.connectionId === frame.connection_id) return this.#attempt(known, () => known.handleDescription(frame));
    if (frame.sdp_type !== "offer") return undefined;
    const isGlare = known?.isOfferer && !known.isAnswered;
    if (isGlare && this.#uid < uid) return undefined;
    const peer = this.#openPeer(uid, { connectionId: frame.connection_id, isOfferer: false });
    return this.#attempt(peer, () => peer.handleDescription(frame));
  }

  #handleCandidate(frame) {
    const peer = this.#peers.get(frame.from);
    if (peer?.connectionId === frame.connection_id) this.#attempt(peer, () => peer.handleCandidate(frame));
  }

  #offer(uid) {
    const peer = this.#openPeer(uid, { connectionId: randomWord(), isOfferer: true });
    this.#attempt(peer, () => peer.offer());
  }

  // A peer that was closed meanwhile rejects whatever was under way: that is no failure.
  async #attempt(peer, step) {
    try {
      await step();
    } catch (error) {
      if (peer.state !== "closed") console.warn("peer connection:", error);
    }
  }

  #openPeer(uid, { connectionId, isOfferer }) {
    this.#closePeer(uid);
    const peer = new Peer({ connectionId, isOfferer, ice: this.#ice, track: this.#track });
    this.#peers.set(uid, peer);
    const member = () => this.#members.get(uid) ?? { uid, name: "", role: "user", is_muted: false };
    const forward = (name, detail) => {
      if (this.#peers.get(uid) === peer) emit(this, name, { member: member(), ...detail });
    };
    peer.addEventListener("signal", ({ detail }) => this.#send({ ...detail, to: uid }));
    peer.addEventListener("stream", ({ detail: stream }) => forward("stream", { stream }));
    peer.addEventListener("event", ({ detail: event }) => forward("event", { event }));
    peer.addEventListener("open", () => forward("open", {}));
    peer.addEventListener("state", ({ detail: state }) => {
      forward("state", { state });
      if (this.#peers.get(uid) === peer) this.#handleState(uid, peer, state);
    });
    return peer;
  }

  #handleState(uid, peer, state) {
    this.#clearTimer(`state ${uid}`);
    if (state === "failed") this.#replace(uid, peer);
    else if (state === "disconnected") {
      this.#later(`state ${uid}`, DISCONNECTED_GRACE_MS, () => this.#replace(uid, peer));
    }
  }

  // aiortc has no ICE restart: a dead connection is replaced by a new one, first by who offered it.
  #replace(uid, peer) {
    const waitMs = peer.isOfferer ? 0 : OTHER_SIDE_OFFERS_MS;
    this.#later(`state ${uid}`, waitMs, () => {
      if (this.#peers.get(uid) === peer && this.#members.has(uid)) this.#offer(uid);
    });
  }

  #closePeer(uid) {
    this.#clearTimer(`state ${uid}`);
    const peer = this.#peers.get(uid);
    if (peer === undefined) return;
    this.#peers.delete(uid);
    peer.close();
    emit(this, "stream_ended", { uid });
  }

  #later(key, waitMs, action) {
    this.#clearTimer(key);
    this.#timers.set(key, setTimeout(action, waitMs));
  }

  #clearTimer(key) {
    clearTimeout(this.#timers.get(key));
    this.#timers.delete(key);
  }
}

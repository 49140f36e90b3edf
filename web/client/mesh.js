// Members of the room and our link to each: the rules of docs/signaling.md, sections 3 and 4.

import { emit } from "./events.js";
import { Link } from "./link.js";

const REJOIN_GRACE_MS = 5000;

/**
 * Events: `members` (the list changed), `stream` ({member, stream}), `stream_ended` ({uid}),
 * `event` ({member, event}), `peer_open` ({member}), `state` ({member, state}), `left` ({member, reason}),
 * `refused` ({member, message}: it does not use our description).
 */
export class Mesh extends EventTarget {
  #members = new Map();
  #links = new Map();
  #timers = new Map();
  #send;
  #uid = 0;
  #track;
  #ice = { servers: [], isRelayOnly: false };

  /** send: passes a frame to the room; track: our microphone, or null. */
  constructor({ track, send }) {
    super();
    this.#track = track;
    this.#send = send;
  }

  get members() {
    return [...this.#members.values()];
  }

  /** The state of the connection to `uid`: W3C word, or "none". */
  stateOf(uid) {
    return this.#links.get(uid)?.state ?? "none";
  }

  /** Give a ClientEvent to every agent; false when none could take it. */
  sendToAgents(event) {
    const agents = this.members.filter((member) => member.role === "agent");
    return agents.map(({ uid }) => this.#links.get(uid)?.send(event) ?? false).some(Boolean);
  }

  /** Of events that wait to be sent, to the agent for which most do. */
  get backlogBytes() {
    const agents = this.members.filter((member) => member.role === "agent");
    return Math.max(0, ...agents.map(({ uid }) => this.#links.get(uid)?.backlogBytes ?? 0));
  }

  /** Tell every agent how late it is heard here. */
  reportPlayout() {
    const agents = this.members.filter((member) => member.role === "agent");
    for (const { uid } of agents) this.#links.get(uid)?.reportPlayout();
  }

  handleJoined({ uid: ownUid, members, ice_servers: servers, is_relay_only: isRelayOnly }) {
    this.#uid = ownUid;
    this.#ice = { servers, isRelayOnly };
    for (const member of members) {
      const isSame = this.#members.get(member.uid)?.instance === member.instance;
      this.#clearTimer(`gone ${member.uid}`);
      this.#members.set(member.uid, member);
      if (isSame) this.#links.get(member.uid)?.handleRejoined();
      else this.#call(member);
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
      case "candidate": return this.#links.get(frame.from)?.handleCandidate(frame);
      case "refuse": return this.#links.get(frame.from)?.handleRefusal(frame);
      case "ice_servers": return this.#handleIceServers(frame);
      default: return undefined;
    }
  }

  close() {
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
    for (const uid of [...this.#links.keys()]) this.#closeLink(uid);
    this.#members.clear();
  }

  #call(member) {
    this.#closeLink(member.uid);
    if (member.via === null) this.#createLink(member.uid).offer();
  }

  // Our credentials for TURN expire; these are for the connections to come.
  #handleIceServers({ ice_servers: servers }) {
    this.#ice = { ...this.#ice, servers };
  }

  #handleMemberJoined(member) {
    this.#clearTimer(`gone ${member.uid}`);
    const isSame = this.#members.get(member.uid)?.instance === member.instance;
    if (!isSame) this.#closeLink(member.uid);
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
    this.#closeLink(uid);
    this.#members.delete(uid);
    emit(this, "left", { member, reason });
    emit(this, "members");
  }

  #handleDescription(frame) {
    const uid = frame.from;
    const isFirst = frame.sdp_type === "offer" && this.#members.has(uid);
    const link = this.#links.get(uid) ?? (isFirst ? this.#createLink(uid) : undefined);
    link?.handleDescription(frame);
  }

  #createLink(uid) {
    const link = new Link({ uid, ownUid: this.#uid, track: this.#track, ice: () => this.#ice });
    this.#links.set(uid, link);
    const forward = (name, detail) => emit(this, name, { member: this.#members.get(uid), ...detail });
    link.addEventListener("signal", ({ detail }) => this.#send({ ...detail, to: uid }));
    // A listener is to be neither heard nor obeyed, whatever it sends.
    const isListener = () => this.#members.get(uid)?.role === "listener";
    link.addEventListener("stream", ({ detail: stream }) => isListener() || forward("stream", { stream }));
    link.addEventListener("stream_ended", () => emit(this, "stream_ended", { uid }));
    link.addEventListener("event", ({ detail: event }) => isListener() || forward("event", { event }));
    link.addEventListener("open", () => forward("peer_open", {}));
    link.addEventListener("refused", ({ detail }) => forward("refused", detail));
    link.addEventListener("state", () => forward("state", { state: link.state }));
    return link;
  }

  #closeLink(uid) {
    const link = this.#links.get(uid);
    this.#links.delete(uid);
    link?.close();
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

// One RTCPeerConnection to one member: audio both ways and events over a data channel.

import { emit } from "./events.js";
import { PlayoutMeter } from "./playout.js";

const MAX_EVENT_BYTES = 60 * 1024;

function usableIceServers(servers) {
  return servers.map((server) => Object.fromEntries(Object.entries(server).filter(([, value]) => value !== null)));
}

/**
 * Events: `signal` (a frame without `to`), `event` (parsed ServerEvent), `open` (the data channel is
 * usable), `state` (connection state).
 */
export class Peer extends EventTarget {
  #pc;
  #events = null;
  #track;
  #earlyCandidates = [];
  #playout = new PlayoutMeter();
  stream = null; // what the member says, once it is negotiated

  constructor({ connectionId, isOfferer, ice, track }) {
    super();
    this.connectionId = connectionId;
    this.isOfferer = isOfferer;
    this.#track = track;
    this.#pc = new RTCPeerConnection({
      iceServers: usableIceServers(ice.servers),
      iceTransportPolicy: ice.isRelayOnly ? "relay" : "all",
    });
    this.#pc.addEventListener("connectionstatechange", () => emit(this, "state", this.state));
    this.#pc.addEventListener("icecandidate", ({ candidate }) => this.#signalCandidate(candidate));
    this.#pc.addEventListener("track", ({ track: remote }) => {
      this.stream = new MediaStream([remote]);
    });
    this.#pc.addEventListener("datachannel", ({ channel }) => this.#adopt(channel));
  }

  get state() {
    return this.#pc.connectionState;
  }

  get isAnswered() {
    return this.#pc.remoteDescription !== null;
  }

  get isOpen() {
    return this.#events?.readyState === "open";
  }

  /** Voices flow, and the data channel is open if the member has one. */
  get isReady() {
    // Port 0: the member has no use for data channels.
    const hasEvents = /^m=application [1-9]/m.test(this.#pc.remoteDescription?.sdp ?? "m=application 9");
    return this.state === "connected" && (this.isOpen || !hasEvents);
  }

  /** Datagrams get through, though perhaps nothing is agreed upon yet. */
  get hasPath() {
    return ["connected", "completed"].includes(this.#pc.iceConnectionState);
  }

  /** How much has come over the connection: voices, events, and questions whether it still carries. */
  async countReceived() {
    let count = 0;
    for (const entry of (await this.#pc.getStats()).values()) {
      if (entry.type === "candidate-pair") count += entry.requestsReceived + entry.responsesReceived;
      else if (entry.type === "transport") count += entry.packetsReceived;
    }
    return count;
  }

  /** How late the member's voice is heard here; null while there is no news. */
  async readPlayout() {
    return this.#playout.read((await this.#pc.getStats()).values());
  }

  async offer() {
    this.#pc.addTransceiver(this.#track ?? "audio", { direction: "sendrecv" });
    this.#adopt(this.#pc.createDataChannel("events", { ordered: true }));
    await this.#describe();
  }

  async handleDescription({ sdp_type: type, sdp }) {
    await this.#pc.setRemoteDescription({ type, sdp });
    for (const candidate of this.#earlyCandidates.splice(0)) await this.#pc.addIceCandidate(candidate);
    if (type === "offer") await this.#answer();
  }

  /** Send our description again, with the candidates found meanwhile. */
  repeat() {
    const description = this.#pc.localDescription;
    if (description !== null) this.#signalDescription(description);
  }

  async handleCandidate({ candidate, sdp_mid, sdp_m_line_index }) {
    const parsed = { candidate, sdpMid: sdp_mid ?? "0", sdpMLineIndex: sdp_m_line_index ?? 0 };
    if (this.isAnswered) await this.#pc.addIceCandidate(parsed);
    else this.#earlyCandidates.push(parsed);
  }

  /** Send a ClientEvent; false when the data channel is not open or the event is too large. */
  send(event) {
    const text = JSON.stringify(event);
    if (!this.isOpen || new Blob([text]).size > MAX_EVENT_BYTES) return false;
    this.#events.send(text);
    return true;
  }

  /** Of events that wait to be sent. */
  get backlogBytes() {
    return this.#events?.bufferedAmount ?? 0;
  }

  close() {
    this.#pc.close();
  }

  async #answer() {
    const [audio] = this.#pc.getTransceivers().filter((one) => one.receiver.track.kind === "audio");
    if (audio !== undefined) {
      audio.direction = "sendrecv";
      await audio.sender.replaceTrack(this.#track);
    }
    await this.#describe();
  }

  async #describe() {
    await this.#pc.setLocalDescription();
    this.#signalDescription(this.#pc.localDescription);
  }

  #signalDescription({ type, sdp }) {
    this.#signal({ type: "description", sdp_type: type, sdp });
  }

  #signal(frame) {
    emit(this, "signal", { ...frame, connection_id: this.connectionId });
  }

  #signalCandidate(candidate) {
    if (candidate === null) return;
    const { candidate: text, sdpMid: sdp_mid, sdpMLineIndex: sdp_m_line_index } = candidate;
    this.#signal({ type: "candidate", candidate: text, sdp_mid, sdp_m_line_index });
  }

  // Ours is called `events`; a member that has another one means the same by it.
  #adopt(channel) {
    if (this.#events !== null && channel.label !== "events") return;
    this.#events = channel;
    if (channel.readyState === "open") emit(this, "open");
    channel.addEventListener("open", () => emit(this, "open"));
    channel.addEventListener("message", ({ data }) => this.#handleMessage(data));
  }

  #handleMessage(data) {
    try {
      emit(this, "event", JSON.parse(data));
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error;
      console.warn("an event is not JSON");
    }
  }
}

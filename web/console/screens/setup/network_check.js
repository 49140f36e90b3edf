// The ways from this page to the server: the room's socket, STUN, TURN, and media that comes back.

import { RoomToken } from "../../../client/room_token.js";
import { Signaling } from "../../../client/signaling.js";
import { HOME } from "../../../parley.js";
import { randomWord } from "../../../client/place.js";

const DEADLINE_MS = 6000;

/** Join a room of our own; answers `{tookMs, iceServers, isRelayOnly}`. Rejects with ParleyError. */
export async function checkRoom(mintToken) {
  const channel = `setup-${randomWord()}`.slice(0, 40);
  const token = new RoomToken(() => mintToken(channel));
  const signaling = new Signaling({ server: HOME, channel, hello: { name: "Setup" }, token });
  const since = performance.now();
  try {
    const { ice_servers: iceServers = [], is_relay_only: isRelayOnly = false } = await signaling.connect();
    return { tookMs: performance.now() - since, iceServers, isRelayOnly };
  } finally {
    signaling.close();
  }
}

/** Which kinds of candidates the servers give this page: `{kinds: Set, problems: [text]}`. */
export async function gatherCandidates(iceServers) {
  const peer = new RTCPeerConnection({ iceServers });
  const kinds = new Set();
  const problems = new Set();
  peer.addEventListener("icecandidateerror", ({ url, errorText, errorCode }) => problems.add(`${url}: ${errorText || errorCode}`));
  const gathered = new Promise((resolve) => {
    peer.addEventListener("icecandidate", ({ candidate }) => {
      if (candidate === null) resolve();
      else if (candidate.type) kinds.add(candidate.type);
    });
  });
  try {
    peer.createDataChannel("setup");
    await peer.setLocalDescription();
    await Promise.race([gathered, new Promise((resolve) => { setTimeout(resolve, DEADLINE_MS); })]);
  } finally {
    peer.close();
  }
  return { kinds, problems: [...problems] };
}

/** Send a word over a connection with ourselves, through TURN alone if wanted; its time in ms, or null. */
export async function checkLoopback(iceServers, { isRelayOnly }) {
  const options = { iceServers, iceTransportPolicy: isRelayOnly ? "relay" : "all" };
  const [first, second] = [new RTCPeerConnection(options), new RTCPeerConnection(options)];
  for (const [from, to] of [[first, second], [second, first]]) {
    from.addEventListener("icecandidate", ({ candidate }) => {
      if (candidate !== null && to.signalingState !== "closed") to.addIceCandidate(candidate).catch(() => {});
    });
  }
  try {
    const channel = first.createDataChannel("setup");
    second.addEventListener("datachannel", ({ channel: other }) => {
      other.addEventListener("message", ({ data }) => other.send(data));
    });
    await first.setLocalDescription();
    await second.setRemoteDescription(first.localDescription);
    await second.setLocalDescription();
    await first.setRemoteDescription(second.localDescription);
    return await Promise.race([echo(channel), new Promise((resolve) => { setTimeout(() => resolve(null), DEADLINE_MS); })]);
  } finally {
    first.close();
    second.close();
  }
}

function echo(channel) {
  return new Promise((resolve) => {
    let since = 0;
    channel.addEventListener("open", () => {
      since = performance.now();
      channel.send("{}");
    });
    channel.addEventListener("message", () => resolve(performance.now() - since));
  });
}

const KINDS = { host: "this machine's own", srflx: "seen from outside (STUN)", prflx: "seen by a peer", relay: "relayed (TURN)" };

/** What the candidates mean: `[text, tone]`. Pure. */
export function judgeCandidates({ kinds, problems }, { hasStun, hasTurn }) {
  const found = [...kinds].map((kind) => KINDS[kind] ?? kind).join(", ");
  const why = problems.length > 0 ? ` (${problems[0]})` : "";
  if (hasTurn && !kinds.has("relay")) return [`The TURN server gives no address${why}: check TURN_URLS, TURN_SECRET and its ports.`, "bad"];
  if (kinds.size === 0) return ["The browser finds no address at all: is WebRTC switched off?", "bad"];
  if (hasStun && !hasTurn && !kinds.has("srflx")) return [`The STUN server gives no address${why}: check STUN_URLS and UDP.`, "bad"];
  return [`Addresses found: ${found}.`, "ok"];
}

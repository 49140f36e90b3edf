// Parley's client for web pages: one module, no framework, no build step. docs/web.md is its manual.
//
//   import { join } from "https://voice.example.com/parley.js";
//   const call = await join({ channel: "demo", token });
//   call.on("transcript", ({ role, text }) => show(role, text));

import { ControlApi } from "./client/api.js";
import { Call } from "./client/call.js";
import { OptionError, ParleyError } from "./client/errors.js";
import { openMicrophone } from "./client/microphone.js";
import { Room } from "./client/room.js";
import { RoomToken } from "./client/room_token.js";

export { ApiError, MicrophoneError, OptionError, ParleyError, RefusedError } from "./client/errors.js";
export { openMicrophone };

const CHANNEL = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$/;
const MAX_UID = 2 ** 32 - 1;
const MAX_NAME_CHARACTERS = 64;
const OPTIONS = new Set(["channel", "token", "uid", "name", "role", "start", "audioContext", "signal"]);
const TRANSPORTS = {
  webrtc: () => Room,
  websocket: async () => (await import("./client/bridge/bridge.js")).Bridge,
};

/** The server that this module came from. */
export const HOME = new URL("../", import.meta.url);

/**
 * Join a channel and talk. Call it in a click, so that the browser lets it sound.
 *
 * @param {object} options
 * @param {string} options.channel 1 to 64 letters, digits, `_`, `-` or `.`
 * @param {string|URL} [options.server] base address; the server that this module came from
 * @param {string|(() => Promise<string>)} [options.token] room token, where the server wants one; a function is
 *   called each time the server asks, also when the last token has expired
 * @param {number} [options.uid] the one that the token names; absent: the token's, that of this tab, or a new one
 * @param {string} [options.name] shown to the others
 * @param {"user"|"listener"} [options.role] a listener hears everybody and is heard by nobody; its token says so
 * @param {boolean|MediaTrackConstraints|MediaStream} [options.microphone] false: listen and type only; a stream is
 *   ours from now on, its tracks are stopped in the end
 * @param {"webrtc"|"websocket"} [options.transport] by WebSocket: the agent alone, where WebRTC cannot be
 * @param {object} [options.start] fields of `POST /start_agent` for a channel without an agent; by WebSocket
 * @param {AudioContext} [options.audioContext] one made in the click, when `join` is called later; closed in the end
 * @param {AbortSignal} [options.signal] gives up joining
 * @returns {Promise<Call>} once we are in the channel; rejects with ParleyError, and then nothing is left open
 */
export async function join(options = {}) {
  const { server, openTransport, token, ...checked } = check(options);
  const context = checked.audioContext ?? new AudioContext();
  let microphone = null;
  let Transport;
  try {
    microphone = await microphoneOf(checked.microphone);
    Transport = await openTransport();
    checked.signal?.throwIfAborted();
  } catch (error) {
    for (const track of microphone?.getTracks() ?? []) track.stop();
    if (context.state !== "closed") context.close();
    throw checked.signal?.aborted ? new ParleyError("aborted", "The call was left before it began.") : error;
  }
  const { channel, uid, name, role, start } = checked;
  const track = microphone?.getAudioTracks()[0] ?? null;
  const transport = new Transport({ server, channel, uid, name, role, token, track, context, start });
  const call = new Call({ channel, transport, microphone, context });
  checked.signal?.addEventListener("abort", () => call.leave());
  await call.join();
  return call;
}

/**
 * Start an agent from the page itself: for a server without credentials on this machine, while you develop.
 * Elsewhere a backend does it, which has the API key; a page must never have one.
 *
 * @param {object} fields
 * @param {string} fields.channel
 * @param {string|URL} [fields.server]
 * @param {string} [fields.agent] one of the app's agents
 * @returns {Promise<object|null>} the server's answer, null if one was there already; rejects with ApiError
 */
export async function startAgent({ channel, server = HOME, ...fields }) {
  const api = new ControlApi(addressOf(server));
  try {
    return await api.startAgent({ channel_name: channel, ...fields });
  } catch (error) {
    if (error.code === "already_running") return null;
    throw error;
  }
}

function check({ microphone = true, transport = "webrtc", server = HOME, ...options }) {
  const unknown = Object.keys(options).find((name) => !OPTIONS.has(name));
  if (unknown !== undefined) throw new OptionError(`join has no option \`${unknown}\`.`);
  const { channel, uid, name } = options;
  if (typeof channel !== "string" || !CHANNEL.test(channel)) {
    throw new OptionError("`channel` is 1 to 64 letters, digits, “_”, “-” or “.”, and begins with a letter or digit.");
  }
  if (uid !== undefined && !(Number.isInteger(uid) && uid >= 1 && uid <= MAX_UID)) {
    throw new OptionError("`uid` is a number from 1 to 4294967295.");
  }
  if (name !== undefined && !(typeof name === "string" && [...name].length <= MAX_NAME_CHARACTERS)) {
    throw new OptionError("`name` is a text of up to 64 characters.");
  }
  if (!["user", "listener", undefined].includes(options.role)) throw new OptionError("`role` is user or listener.");
  if (options.role === "listener" && (microphone || transport !== "webrtc")) {
    throw new OptionError("A listener joins by WebRTC, with `microphone: false`.");
  }
  if (!Object.hasOwn(TRANSPORTS, transport)) {
    throw new OptionError(`\`transport\` is one of ${Object.keys(TRANSPORTS).join(", ")}.`);
  }
  if (options.start !== undefined && transport !== "websocket") {
    throw new OptionError("`start` is for the transport websocket; otherwise start the agent first.");
  }
  if (transport === "webrtc" && globalThis.RTCPeerConnection === undefined) {
    throw new ParleyError("no_webrtc", "This browser has no WebRTC, or it is switched off: join by the transport websocket.");
  }
  const checked = { ...options, microphone, server: addressOf(server), token: new RoomToken(options.token) };
  return { ...checked, openTransport: TRANSPORTS[transport] };
}

// A base address ends in a slash, or its last part would be lost.
function addressOf(server) {
  let url;
  try {
    url = new URL(server, document.baseURI);
  } catch {
    throw new OptionError("`server` is no address.");
  }
  if (!["http:", "https:"].includes(url.protocol)) throw new OptionError("`server` is an address of http or https.");
  url.search = url.hash = "";
  if (!url.pathname.endsWith("/")) url.pathname += "/";
  return url;
}

async function microphoneOf(wanted) {
  if (wanted === false || wanted === null) return null;
  if (wanted instanceof MediaStream) return wanted;
  return openMicrophone(typeof wanted === "object" ? wanted : {});
}

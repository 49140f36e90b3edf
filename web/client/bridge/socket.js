// The socket of a bridge (docs/bridge.md): creates a session, resumes it after a drop, passes messages on.

import { ParleyError, RefusedError } from "../errors.js";
import { emit } from "../events.js";
import { socketUrl } from "../signaling.js";

const BACKOFF_MS = [250, 500, 1000, 2000, 4000];
// An agent may have to start first.
const CREATE_DEADLINE_MS = 60_000;
const RESUME_DEADLINE_MS = 8000;
const EXPLAIN_DEADLINE_MS = 3000;
// Of audio that the network does not take: two seconds of it, and what follows would come late.
const MAX_WAITING_BYTES = 96_000;
// A socket says nothing when the network beneath it is gone, so we ask.
const LOOK_MS = 500;
const ASK_AFTER_MS = 1000;
const DEAD_AFTER_MS = 4000;
const NORMAL = 1000;
// Reasons of closes after which the session goes on.
const PASSING = new Set(["not_ready", "busy", "at_capacity", "too_slow"]);
const UNREACHABLE = "The server cannot be reached, does not name this page's origin in ALLOWED_ORIGINS, or the page's policy forbids it.";

/**
 * Events: `created` (server_session_created, at each connection), `event` (any other), `audio` (ArrayBuffer),
 * `lost` ({retryInMs}), `over` ({reason}: the call has ended), `refused` (ParleyError); nothing follows the last two.
 */
export class BridgeSocket extends EventTarget {
  #url;
  #config;
  #token;
  #socket = null;
  #session = null;
  #lastSeq = 0;
  #attempt = 0;
  #timer = 0;
  #look = 0;
  #heardAt = 0;
  #error = null; // the last agent_error: a close may follow
  #overReason = null;
  #isClosed = false;

  /** config: of client_session_create; token: a RoomToken. */
  constructor({ server, channel, config, token }) {
    super();
    this.#url = new URL(`ws/${encodeURIComponent(channel)}`, server);
    this.#config = config;
    this.#token = token;
    addEventListener("online", this.#abandon); // it is another network, mostly
    this.#look = setInterval(() => this.#watch(), LOOK_MS);
  }

  /** Connect once; later losses are repaired by themselves. Rejects with ParleyError. */
  connect() {
    return new Promise((resolve, reject) => {
      this.addEventListener("created", ({ detail }) => resolve(detail), { once: true });
      this.addEventListener("refused", ({ detail }) => reject(detail), { once: true });
      this.#open();
    });
  }

  get isOpen() {
    return this.#session !== null && this.#socket?.readyState === WebSocket.OPEN;
  }

  get backlogBytes() {
    return this.#socket?.bufferedAmount ?? 0;
  }

  /** Send a client event; false when there is no connection at the moment. */
  send(event) {
    if (!this.isOpen) return false;
    this.#socket.send(JSON.stringify(event));
    return true;
  }

  /** Send audio; it is lost when there is no connection, or too much waits. */
  sendAudio(piece) {
    if (this.isOpen && this.backlogBytes < MAX_WAITING_BYTES) this.#socket.send(piece);
  }

  /** Leave the call. */
  close() {
    if (this.#isClosed) return;
    this.send({ type: "client_leave" });
    this.#end();
    if (this.#session === null) emit(this, "refused", new ParleyError("aborted", "The call was left before it began."));
  }

  #end() {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    clearInterval(this.#look);
    removeEventListener("online", this.#abandon);
    this.#socket?.close(NORMAL);
    this.#socket = null;
  }

  #watch() {
    if (!this.isOpen) return;
    const silentMs = performance.now() - this.#heardAt;
    if (silentMs >= DEAD_AFTER_MS) this.#abandon();
    else if (silentMs >= ASK_AFTER_MS) this.send({ type: "client_ping" });
  }

  // Its own end would take long to come.
  #abandon = () => {
    if (!this.isOpen) return;
    const socket = this.#socket;
    this.#socket = null;
    socket.close();
    this.#retry();
  };

  #open() {
    const { token } = this.#token.field;
    let socket;
    try {
      socket = new WebSocket(socketUrl(this.#url), token === undefined ? [] : ["bearer", token]);
    } catch ({ message }) {
      this.#refuse(new ParleyError("unreachable", `The browser does not connect: ${message}`));
      return;
    }
    socket.binaryType = "arraybuffer";
    this.#socket = socket;
    this.#error = null;
    let hasOpened = false;
    const end = ({ code = 1006, reason = "" } = {}) => {
      clearTimeout(deadline);
      if (socket !== this.#socket) return;
      this.#socket = null;
      socket.close();
      this.#handleClose({ code, reason, hasOpened });
    };
    const deadline = setTimeout(end, this.#session === null ? CREATE_DEADLINE_MS : RESUME_DEADLINE_MS);
    socket.addEventListener("open", () => {
      hasOpened = true;
      socket.send(JSON.stringify(this.#first()));
    });
    socket.addEventListener("message", ({ data }) => {
      if (socket !== this.#socket) return;
      this.#heardAt = performance.now();
      this.#handleMessage(data, deadline);
    });
    socket.addEventListener("close", end);
    // One that the page's policy forbids gets no `close`.
    socket.addEventListener("error", () => {
      if (!hasOpened) end();
    });
  }

  #first() {
    const first = { type: "client_session_create", config: this.#config };
    if (this.#session === null) return first;
    const { session_id: id, secret } = this.#session;
    return { ...first, session_id: id, secret, last_seq: this.#lastSeq };
  }

  #handleMessage(data, deadline) {
    if (typeof data !== "string") {
      emit(this, "audio", data);
      return;
    }
    const event = JSON.parse(data);
    // What comes twice, after a drop, was taken the first time.
    if (event.seq !== undefined && event.seq <= this.#lastSeq) return;
    this.#lastSeq = event.seq ?? this.#lastSeq;
    if (event.type === "server_session_created") {
      clearTimeout(deadline);
      this.#session = event;
      this.#attempt = 0;
      this.#token.handleAccepted();
      emit(this, "created", event);
    } else if (event.type === "server_session_ended") {
      this.#overReason = event.reason;
    } else if (event.type !== "server_pong") {
      if (event.type === "agent_error") this.#error = event;
      emit(this, "event", event);
    }
  }

  #handleClose({ code, reason, hasOpened }) {
    if (this.#isClosed) return;
    if (this.#overReason !== null || (this.#session !== null && code === NORMAL)) {
      this.#end();
      emit(this, "over", { reason: this.#overReason ?? reason });
    } else if (!hasOpened) {
      this.#explain();
    } else if (this.#session === null || (code !== 1006 && code !== 1001 && !PASSING.has(reason))) {
      this.#handleRefusal(code, reason);
    } else {
      this.#retry();
    }
  }

  #handleRefusal(code, reason) {
    const word = reason || this.#error?.code || "unreachable";
    if (word === "unauthorized") {
      this.#authorize(this.#error?.message ?? "The token is not accepted.");
      return;
    }
    const text = this.#error?.message ?? `The connection was closed (${code}).`;
    this.#refuse(new RefusedError(word, text, "The agent did not take you in"));
  }

  async #authorize(message) {
    try {
      await this.#token.renew(message);
    } catch (error) {
      this.#refuse(error);
      return;
    }
    if (!this.#isClosed) this.#open();
  }

  // A browser does not tell why a socket was refused; to a plain request the same route does.
  async #explain() {
    const { token } = this.#token.field;
    const isOwnPage = this.#url.origin === location.origin;
    const headers = isOwnPage ? { "X-Page-Origin": location.origin } : {};
    if (token !== undefined) headers.Authorization = `Bearer ${token}`;
    const refusal = await fetch(this.#url, { headers, signal: AbortSignal.timeout(EXPLAIN_DEADLINE_MS) })
      .then((response) => response.json())
      .catch(() => ({}));
    if (this.#isClosed) return;
    if (refusal.code === "unauthorized") this.#authorize(refusal.error);
    else if (["forbidden", "foreign_origin"].includes(refusal.code)) this.#refuse(new RefusedError(refusal.code, refusal.error));
    else if (this.#session !== null) this.#retry();
    else this.#refuse(new ParleyError("unreachable", UNREACHABLE, { title: "No connection to the server" }));
  }

  #retry() {
    const base = BACKOFF_MS[Math.min(this.#attempt, BACKOFF_MS.length - 1)];
    const retryInMs = base * (0.8 + 0.4 * Math.random());
    this.#attempt += 1;
    this.#timer = setTimeout(() => this.#open(), retryInMs);
    emit(this, "lost", { retryInMs });
  }

  #refuse(error) {
    if (this.#isClosed) return;
    this.#end();
    emit(this, "refused", error);
  }
}

// The socket to the room (docs/signaling.md): joins, rejoins with backoff, passes frames on.

import { ParleyError, RefusedError } from "./errors.js";
import { emit } from "./events.js";

const BACKOFF_MS = [250, 500, 1000, 2000, 4000];
const JOIN_DEADLINE_MS = 10_000;
const REJOIN_DEADLINE_MS = 4000;
// A socket says nothing when the network beneath it is gone, so we ask.
const LOOK_MS = 500;
const ASK_AFTER_MS = 1000;
const DEAD_AFTER_MS = 2750;
const EXPLAIN_DEADLINE_MS = 3000;
const FINAL_CODES = new Set([
  "unauthorized", "forbidden", "uid_taken", "room_full", "server_full", "replaced", "invalid",
]);

const UNREACHABLE_TITLE = "No connection to the server";
// A page is not told why its socket was not opened; the server's log says it.
const UNREACHABLE =
  "The room server cannot be reached, or takes this page for another site's: a proxy must pass on Host and Upgrade.";
const UNREACHABLE_ELSEWHERE =
  "The server cannot be reached, or does not name this page's origin in ALLOWED_ORIGINS, or the page's policy forbids it.";

/** The address for a WebSocket, of one for HTTP. */
export function socketUrl(url) {
  const made = new URL(url);
  made.protocol = made.protocol === "https:" ? "wss:" : "ws:";
  return made;
}

/**
 * Events: `joined` (frame, at each join and rejoin), `frame` (any other), `lost` ({retryInMs}),
 * `refused` (ParleyError; nothing follows it).
 */
export class Signaling extends EventTarget {
  #url;
  #hello;
  #token;
  #socket = null;
  #timer = 0;
  #look = 0;
  #heardAt = 0;
  #attempt = 0;
  #isClosed = false;
  #hasEverJoined = false;

  /**
   * hello: `{uid, name, instance, resume_secret}`, all optional; token: a RoomToken.
   */
  constructor({ server, channel, hello, token }) {
    super();
    this.#url = new URL(`rooms/${encodeURIComponent(channel)}/ws`, server);
    this.#hello = { type: "join", role: "user", ...hello };
    this.#token = token;
  }

  /** Join once; later losses are repaired by themselves. Rejects with ParleyError. */
  connect() {
    return new Promise((resolve, reject) => {
      this.addEventListener("joined", ({ detail }) => resolve(detail), { once: true });
      this.addEventListener("refused", ({ detail }) => reject(detail), { once: true });
      this.#open();
    });
  }

  /** Send a frame; false when there is no connection at the moment (the frame is dropped). */
  send(frame) {
    if (this.#socket?.readyState !== WebSocket.OPEN) return false;
    this.#socket.send(JSON.stringify(frame));
    return true;
  }

  /** Say goodbye and stay away. */
  close() {
    if (this.#isClosed) return;
    this.#isClosed = true;
    clearTimeout(this.#timer);
    clearInterval(this.#look);
    this.send({ type: "leave" });
    this.#socket?.close(1000);
    if (!this.#hasEverJoined) emit(this, "refused", new ParleyError("aborted", "The call was left before it began."));
  }

  #open() {
    let socket;
    try {
      socket = new WebSocket(socketUrl(this.#url));
    } catch ({ message }) {
      // A page of https may not ask a server of http.
      this.#refuse(new ParleyError("unreachable", `The browser does not connect: ${message}`, { title: UNREACHABLE_TITLE }));
      return;
    }
    this.#socket = socket;
    const end = () => {
      clearTimeout(deadline);
      if (socket !== this.#socket) return;
      this.#socket = null;
      socket.close();
      this.#handleClose();
    };
    const deadline = setTimeout(end, this.#hasEverJoined ? REJOIN_DEADLINE_MS : JOIN_DEADLINE_MS);
    socket.addEventListener("open", () => this.send({ ...this.#hello, ...this.#token.field }));
    socket.addEventListener("message", ({ data }) => {
      if (socket !== this.#socket) return;
      this.#heardAt = performance.now();
      this.#handleFrame(JSON.parse(data), deadline);
    });
    // One that the page's policy forbids gets no `close`.
    for (const name of ["close", "error"]) socket.addEventListener(name, end);
  }

  #handleFrame(frame, deadline) {
    if (frame.type === "joined") {
      clearTimeout(deadline);
      this.#attempt = 0;
      this.#hasEverJoined = true;
      this.#token.handleAccepted();
      this.#keepPlace(frame);
      this.#watch();
      emit(this, "joined", frame);
    } else if (frame.type === "error" && frame.code === "unauthorized") {
      this.#authorize(frame);
    } else if (frame.type === "error" && this.#isFinal(frame)) {
      this.#refuse(new RefusedError(frame.code, frame.message));
    } else if (frame.type !== "pong") {
      emit(this, "frame", frame);
    }
  }

  // What the next join must say to be the same participant.
  #keepPlace({ uid, instance, resume_secret: secret }) {
    this.#hello = { ...this.#hello, uid, instance, resume_secret: secret };
  }

  #isFinal({ code, request }) {
    return FINAL_CODES.has(code) && (code !== "invalid" || request === "join");
  }

  #watch() {
    clearInterval(this.#look);
    this.#look = setInterval(() => {
      const silentMs = performance.now() - this.#heardAt;
      if (silentMs >= DEAD_AFTER_MS) this.#abandon();
      else if (silentMs >= ASK_AFTER_MS) this.send({ type: "ping" });
    }, LOOK_MS);
  }

  // Its own end would take long to come: it waits for an answer too.
  #abandon() {
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
    this.#handleClose();
  }

  async #authorize({ message }) {
    this.#socket = null; // the server closes this one; its end is no loss
    try {
      await this.#token.renew(message);
    } catch (error) {
      this.#refuse(error);
      return;
    }
    if (!this.#isClosed) this.#open();
  }

  #refuse(error) {
    if (this.#isClosed) return;
    this.#isClosed = true;
    clearInterval(this.#look);
    this.#socket?.close();
    emit(this, "refused", error);
  }

  // A browser does not tell why a socket was refused; to a plain request the same route does.
  async #explain() {
    const isOwnPage = this.#url.origin === location.origin;
    const headers = isOwnPage ? { "X-Page-Origin": location.origin } : {};
    const refusal = await fetch(this.#url, { headers, signal: AbortSignal.timeout(EXPLAIN_DEADLINE_MS) })
      .then((response) => response.json())
      .catch(() => ({}));
    const isForeign = refusal.code === "foreign_origin";
    const text = isOwnPage ? UNREACHABLE : UNREACHABLE_ELSEWHERE;
    this.#refuse(
      isForeign
        ? new RefusedError(refusal.code, refusal.error)
        : new ParleyError("unreachable", text, { title: UNREACHABLE_TITLE }),
    );
  }

  #handleClose() {
    clearInterval(this.#look);
    if (this.#isClosed) return;
    if (!this.#hasEverJoined) {
      this.#explain();
      return;
    }
    const base = BACKOFF_MS[Math.min(this.#attempt, BACKOFF_MS.length - 1)];
    const retryInMs = base * (0.8 + 0.4 * Math.random());
    this.#attempt += 1;
    this.#timer = setTimeout(() => this.#open(), retryInMs);
    emit(this, "lost", { retryInMs });
  }
}

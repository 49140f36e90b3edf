// What the calls screens ask of the control API; each asks for an API key where the server wants one.

import { withKey } from "../../api_key.js";

/** Rejects with ApiError. */
export class CallsApi {
  #api;

  /** api: a `ControlApi`. */
  constructor(api) {
    this.#api = api;
  }

  /** A page of calls, `{calls, next}`; query: names and values of `GET /calls`. */
  list(query) {
    return this.#ask("GET", `calls?${new URLSearchParams(query)}`);
  }

  show(id) {
    return this.#ask("GET", pathOf(id));
  }

  transcript(id) {
    return this.#ask("GET", pathOf(id, "transcript"));
  }

  timeline(id) {
    return this.#ask("GET", pathOf(id, "timeline"));
  }

  delete(kind, id) {
    const folder = { call: "calls", person: "people", thread: "threads" }[kind];
    return this.#ask("DELETE", `${folder}/${encodeURIComponent(id)}`);
  }

  /** A command to a live agent: say, interrupt, mute, approve. */
  command(channel, name, body = {}) {
    return this.#ask("POST", `agents/${encodeURIComponent(channel)}/${name}`, body);
  }

  stop(channel) {
    return withKey(() => this.#api.stopAgent(channel));
  }

  listenerToken(channel, uid) {
    return withKey(() => this.#api.mintToken(channel, uid, "listener"));
  }

  /** The recording or the export as a file of the browser. */
  async file(id, what) {
    const response = await withKey(() => this.#api.open(pathOf(id, what)));
    return response.blob();
  }

  /** Where the recording can be played from at once, or null where a key is needed, which no player sends. */
  recordingAddress(id) {
    return this.#api.hasKey ? null : this.#api.addressOf(pathOf(id, "recording"));
  }

  /** The open stream of a live call's events, from those after `lastId`; "0" for all that are kept. */
  events(channel, lastId, signal) {
    const headers = { Accept: "text/event-stream", "Last-Event-ID": lastId };
    return withKey(() => this.#api.open(`agents/${encodeURIComponent(channel)}/events`, { headers, signal }));
  }

  #ask(method, path, body) {
    return withKey(() => this.#api.request(method, path, body));
  }
}

function pathOf(id, part) {
  return ["calls", id, ...(part === undefined ? [] : [part])].map(encodeURIComponent).join("/");
}

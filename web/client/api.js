// The control API. Every failure becomes an ApiError whose message a person can act on.

import { ApiError } from "./errors.js";

const DEADLINE_MS = 60_000;

function describe({ field, msg = "" }) {
  return field ? `${field}: ${msg}` : msg;
}

async function readError(response) {
  const body = await response.json().catch(() => ({}));
  const message = body.error ?? `The server answered ${response.status} ${response.statusText}`;
  // The text of a single cause is often the message already.
  const details = (body.details ?? []).map(describe).filter((text) => !message.includes(text));
  return new ApiError(response.status, body.code ?? "http_error", message, details);
}

/** The response to a request that succeeded. Rejects with ApiError. */
async function request(url, options) {
  let response;
  try {
    response = await fetch(url, options);
  } catch (cause) {
    const text = cause.name === "TimeoutError" ? "The server did not answer in time." : "The server cannot be reached.";
    throw new ApiError(0, "unreachable", text);
  }
  if (!response.ok) throw await readError(response);
  return response;
}

/** Ask for JSON at `url`; signal gives up. Rejects with ApiError. */
export async function requestJson(method, url, { body, headers = {}, signal } = {}) {
  const sent = { Accept: "application/json", ...headers };
  if (body !== undefined) sent["Content-Type"] = "application/json";
  const deadline = AbortSignal.timeout(DEADLINE_MS);
  const limit = signal === undefined ? deadline : AbortSignal.any([deadline, signal]);
  const response = await request(url, { method, headers: sent, body: JSON.stringify(body), signal: limit });
  try {
    return await response.json();
  } catch {
    throw new ApiError(response.status, "no_json", "The server's answer is not JSON.");
  }
}

/** The API of one server. */
export class ControlApi {
  #server;
  #readKey;

  /** readKey: the API key of this moment, "" for none. */
  constructor(server, readKey = () => "") {
    this.#server = server;
    this.#readKey = readKey;
  }

  /** Start an agent; answers when it is ready, with `timings_ms`. */
  startAgent(options) {
    return this.request("POST", "start_agent", options);
  }

  /** Stop the channel's agent; answers when its process is gone. */
  stopAgent(channel) {
    return this.request("POST", "stop_agent", { channel_name: channel });
  }

  /** The running agents. */
  async listAgents() {
    const { agents } = await this.request("GET", "agents");
    return agents;
  }

  /** The agents of the server's app: `{app, agents, problems}`. */
  listDefinitions() {
    return this.request("GET", "agents/definitions");
  }

  /** The local model: `{state, is_default, language_model: {kind, model, host}, ...}`. */
  showLocalModel() {
    return this.request("GET", "local_model");
  }

  /** A room token for one user, or one `listener`, of one channel. */
  async mintToken(channel, uid, role = "user") {
    const { token } = await this.request("POST", "token", { channel_name: channel, uid, role });
    return token;
  }

  /** Whether requests carry an API key; without one the browser can load addresses by itself. */
  get hasKey() {
    return this.#readKey() !== "";
  }

  /** Any operation of docs/control.md whose answer is JSON. */
  request(method, path, body) {
    return requestJson(method, this.addressOf(path), { body, headers: this.#credentials() });
  }

  /** A file or a stream: its response, whose body is still to be read. body: sent as JSON, by POST. */
  open(path, { headers = {}, body, signal } = {}) {
    const sent = { ...headers, ...this.#credentials() };
    if (body === undefined) return request(this.addressOf(path), { headers: sent, signal });
    sent["Content-Type"] = "application/json";
    return request(this.addressOf(path), { method: "POST", headers: sent, body: JSON.stringify(body), signal });
  }

  addressOf(path) {
    return new URL(path, this.#server);
  }

  #credentials() {
    const key = this.#readKey();
    return key === "" ? {} : { Authorization: `Bearer ${key}` };
  }
}

// The control API. Every failure becomes an ApiError whose message a person can act on.

import { remembered } from "./identity.js";

const DEADLINE_MS = 60_000;

/** The server refused, or could not be reached (`code` "unreachable", `status` 0). */
export class ApiError extends Error {
  constructor(status, code, message, details = []) {
    super(message);
    this.status = status;
    this.code = code;
    this.details = details;
  }

  get isKeyProblem() {
    return this.status === 401;
  }
}

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

async function request(method, path, body) {
  const headers = { Accept: "application/json" };
  const key = remembered.get("apiKey");
  if (key !== "") headers.Authorization = `Bearer ${key}`;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const options = { method, headers, body: JSON.stringify(body), signal: AbortSignal.timeout(DEADLINE_MS) };
  let response;
  try {
    response = await fetch(path, options);
  } catch (cause) {
    const text = cause.name === "TimeoutError" ? "The server did not answer in time." : "The server cannot be reached.";
    throw new ApiError(0, "unreachable", text);
  }
  if (!response.ok) throw await readError(response);
  return response.json();
}

/** Start an agent; answers when it is ready, with `timings_ms`. */
export function startAgent(options) {
  return request("POST", "start_agent", options);
}

/** Stop the channel's agent; answers when its process is gone. */
export function stopAgent(channel) {
  return request("POST", "stop_agent", { channel_name: channel });
}

/** The running agents. */
export async function listAgents() {
  const { agents } = await request("GET", "agents");
  return agents;
}

/** A room token for one user of one channel. */
export async function mintToken(channel, uid) {
  const { token } = await request("POST", "token", { channel_name: channel, uid, role: "user" });
  return token;
}

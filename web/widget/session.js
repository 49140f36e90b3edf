// Where a widget's call takes place: from the page's own backend, or from a server on this machine.

import { requestJson } from "../client/api.js";
import { ParleyError } from "../client/errors.js";
import { randomWord } from "../client/place.js";
import { HOME, startAgent } from "../parley.js";

const FIELDS = ["server", "channel", "token", "uid", "name"];

function attributesOf(widget, names) {
  return Object.fromEntries(names.map((name) => [name, widget.getAttribute(name)]).filter(([, value]) => value));
}

function invalid(message) {
  return new ParleyError("invalid_session", message);
}

async function askBackend(url, body, signal) {
  const answer = await requestJson("POST", new URL(url, document.baseURI), { body, signal });
  if (typeof answer?.channel !== "string") throw invalid("The answer of `token-url` has no `channel`.");
  return Object.fromEntries(FIELDS.filter((name) => answer[name] !== undefined).map((name) => [name, answer[name]]));
}

// A token may have expired when the call comes back after a drop: the backend then gives another one.
function renewing({ token, ...session }, url, body) {
  if (token === undefined) return session;
  let unused = token;
  const renew = async () => {
    const given = unused;
    unused = null;
    return given ?? (await askBackend(url, { ...body, channel: session.channel })).token;
  };
  return { ...session, token: renew };
}

/**
 * The options of `join` for a widget: what `token-url` answers, or an agent that the page starts itself, as a
 * server without credentials on this machine lets it. Rejects with ParleyError.
 */
export async function openSession(widget, signal) {
  const given = attributesOf(widget, ["server", "name"]);
  const url = widget.getAttribute("token-url");
  if (url) {
    const body = attributesOf(widget, ["agent", "channel"]);
    return { ...given, ...renewing(await askBackend(url, body, signal), url, body) };
  }
  const channel = widget.getAttribute("channel") || `visit-${randomWord().slice(0, 12)}`;
  const { server = HOME } = given;
  await startAgent({ server, channel, ...attributesOf(widget, ["agent"]) });
  return { ...given, channel };
}

// Which screen an address shows. Pure, but for `Router`, which follows the browser's address.

/** Screens by the first word of their address; everything else is the screen of calls with an agent. */
export const TALK = "talk";
const NAMES = new Set(["calls", "now", "setup"]);

function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // somebody typed a lone percent sign
  }
}

/**
 * The place that a hash names: `{screen, path, query}`. `#/calls/17?agent=a` is the screen `calls`,
 * path `["17"]`, query `agent=a`; `#channel=NAME` and whatever is unknown is the screen `talk`.
 */
export function parseHash(hash) {
  const text = hash.replace(/^#/, "");
  if (!text.startsWith("/")) return { screen: TALK, path: [], query: new URLSearchParams(text) };
  const [path, query = ""] = text.slice(1).split(/\?(.*)/s);
  const [screen, ...rest] = path.split("/").filter((part) => part !== "").map(decode);
  if (!NAMES.has(screen)) return { screen: TALK, path: [], query: new URLSearchParams(query) };
  return { screen, path: rest, query: new URLSearchParams(query) };
}

/** The hash of a place; query: names and values, of which empty ones are left out. */
export function formatHash(screen, path = [], query = {}) {
  const given = Object.entries(query).filter(([, value]) => value !== "" && value !== null && value !== undefined);
  const words = (screen === TALK ? [] : [screen, ...path]).map(encodeURIComponent);
  const tail = given.length > 0 ? `?${new URLSearchParams(given)}` : "";
  return `#/${words.join("/")}${tail}`;
}

/** Follows the address; calls `onPlace(place, isFirst)` for the present one and each later one. */
export class Router {
  #onPlace;

  constructor(onPlace) {
    this.#onPlace = onPlace;
  }

  get place() {
    return parseHash(location.hash);
  }

  start() {
    addEventListener("hashchange", () => this.#onPlace(this.place, false));
    this.#onPlace(this.place, true);
  }
}

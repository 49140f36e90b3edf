// Our place in a room: what this tab shows to get it back after a reload. Session storage only:
// nothing outlives the tab.

const memory = new Map();

// A page in a sandbox has no storage; it then forgets at a reload.
function storage() {
  try {
    return globalThis.sessionStorage ?? null;
  } catch {
    return null;
  }
}

function read(key) {
  return storage()?.getItem(key) ?? memory.get(key) ?? null;
}

function write(key, value) {
  memory.set(key, value);
  try {
    storage()?.setItem(key, value);
  } catch {
    // full: until the next reload it is remembered here
  }
}

/** A random word for `instance`, `connection_id` and `message_id`. */
export function randomWord() {
  return Array.from(crypto.getRandomValues(new Uint8Array(9)), (byte) => byte.toString(36)).join("");
}

/** Made once per page load: tells the room a rejoin from a reload. */
export const INSTANCE = randomWord();

/** The uid that this tab had in a room, with the secret that proves it. */
export class Place {
  #key;

  constructor(server, channel) {
    this.#key = `parley.place.${server} ${channel}`;
  }

  /** `{uid, secret}`, or null where this tab has not been. */
  get() {
    try {
      const { uid, secret } = JSON.parse(read(this.#key));
      return Number.isInteger(uid) && typeof secret === "string" ? { uid, secret } : null;
    } catch {
      return null; // nothing, or nothing of ours
    }
  }

  keep(uid, secret) {
    write(this.#key, JSON.stringify({ uid, secret }));
  }

  forget() {
    write(this.#key, "null");
  }
}

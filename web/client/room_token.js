// The room token: given once, or made anew by the page whenever the server asks for one.

import { OptionError, ParleyError, RefusedError } from "./errors.js";

// What the token says of itself; it is only read to name what is wrong with it.
function expiryOf(token) {
  try {
    const claims = atob(token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/"));
    return JSON.parse(claims).exp * 1000;
  } catch {
    return NaN;
  }
}

export class RoomToken {
  #text = "";
  #renew = null;
  #isFresh = false;

  /** source: undefined, a token, or a function that makes one (called only when the server asks). */
  constructor(source) {
    if (typeof source === "function") this.#renew = source;
    else if (typeof source === "string") this.#text = source;
    else if (source !== undefined && source !== null) throw new OptionError("`token` is a text, or a function that returns one.");
  }

  /** The field of a join, or nothing. */
  get field() {
    return this.#text === "" ? {} : { token: this.#text };
  }

  /** The server took it; it may ask again, once it has expired. */
  handleAccepted() {
    this.#isFresh = false;
  }

  /** Get another one: the server said `message` of this one. Rejects with ParleyError. */
  async renew(message) {
    if (this.#renew === null || this.#isFresh) throw this.#explain(message);
    this.#isFresh = true;
    let made;
    try {
      made = await this.#renew();
    } catch (cause) {
      if (cause instanceof ParleyError) throw cause;
      throw new ParleyError("token_failed", `No token could be got: ${cause?.message ?? cause}`, { cause });
    }
    if (typeof made !== "string" || made === "") throw new ParleyError("token_failed", "The function `token` returned no token.");
    this.#text = made;
  }

  #explain(message) {
    if (expiryOf(this.#text) < Date.now()) {
      return new RefusedError("token_expired", "The call's token has expired: get a new one.", "The token has expired");
    }
    return new RefusedError("unauthorized", message);
  }
}

// Whether anything still comes over a peer connection. Pure: time is an argument.

// Browsers ask each other every 2.5 s when nothing else is sent; agents ask every second.
export const DEAD_AFTER_MS = 2700;

/** Tell `note` how much has come so far, several times a second. */
export class PathWatch {
  #count = -1;
  #changedAt = 0;
  isDead = false;

  /** count: of everything received since the connection began; now: ms of a steady clock. */
  note(count, now) {
    if (count !== this.#count) {
      this.#count = count;
      this.#changedAt = now;
    }
    this.isDead = now - this.#changedAt >= DEAD_AFTER_MS;
    return this.isDead;
  }
}

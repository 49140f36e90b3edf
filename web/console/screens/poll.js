// Asks again and again while it is wanted and the page can be seen.

export class Poll {
  #step;
  #everyMs;
  #timer = 0;
  #isWanted = false;
  #isAsking = false;

  /** step(): a promise; it handles its own failures. */
  constructor(step, everyMs) {
    this.#step = step;
    this.#everyMs = everyMs;
    document.addEventListener("visibilitychange", () => this.#schedule(0));
  }

  start() {
    this.#isWanted = true;
    this.#schedule(0);
  }

  stop() {
    this.#isWanted = false;
    clearTimeout(this.#timer);
  }

  /** Ask at once. */
  again() {
    this.#schedule(0);
  }

  #schedule(afterMs) {
    clearTimeout(this.#timer);
    if (this.#isWanted && !document.hidden) this.#timer = setTimeout(() => this.#ask(), afterMs);
  }

  async #ask() {
    if (this.#isAsking) return;
    this.#isAsking = true;
    try {
      await this.#step();
    } finally {
      this.#isAsking = false;
      this.#schedule(this.#everyMs);
    }
  }
}

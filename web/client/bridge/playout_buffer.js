// What has come and is not played yet: a jitter buffer for one voice. Pure: its clock is the samples it gives.

const LEAST_S = 0.06;
const MOST_S = 0.4;
const STEP_S = 0.02;
const CALM_S = 10; // without a gap: a little less is enough
const GAP_S = 0.4; // one that is longer was no delay of the network
const LIMIT_S = 1.5; // a page that slept gets it all at once: the oldest goes
const FADE_S = 0.004;

export class PlayoutBuffer {
  #rateHz;
  #pieces = [];
  #used = 0; // samples of the first piece
  #waiting = 0; // samples in all
  #target;
  #isPlaying = false;
  #hasEnded = true; // nothing more is to come for now
  #silent = 0; // samples given since the last sound
  #held = 0; // of them, while something waited
  #calm = 0; // samples played since the last gap
  #fade; // of the end of what was cut
  #cut = null;
  gaps = 0;

  constructor(rateHz) {
    this.#rateHz = rateHz;
    this.#target = LEAST_S * rateHz;
    this.#fade = Math.round(FADE_S * rateHz);
  }

  /** How long a sample that comes now waits, in seconds. */
  get delayS() {
    return Math.max(this.#waiting, this.#isPlaying ? 0 : this.#target) / this.#rateHz;
  }

  push(samples) {
    const isGap = !this.#hasEnded && !this.#isPlaying && this.#waiting === 0 && this.#silent < GAP_S * this.#rateHz;
    if (isGap) this.#handleGap();
    this.#hasEnded = false;
    this.#pieces.push(samples);
    this.#waiting += samples.length;
    while (this.#waiting > LIMIT_S * this.#rateHz && this.#pieces.length > 1) this.#drop();
  }

  /** What has come is the end of a reply: play it, however short it is. */
  end() {
    this.#hasEnded = true;
  }

  /** The reply was cut: fall silent, without a click. */
  clear() {
    const rest = new Float32Array(this.#fade);
    if (this.#isPlaying) this.#take(rest);
    this.#cut = rest.map((sample, at) => sample * (1 - at / this.#fade));
    this.#pieces = [];
    this.#used = this.#waiting = 0;
    this.#isPlaying = false;
    this.#hasEnded = true;
    this.#held = 0;
  }

  /** Fill `output` with what is due. */
  pull(output) {
    output.fill(0);
    if (this.#cut !== null) return this.#playCut(output);
    if (!this.#isPlaying && !this.#isDue) {
      this.#silent += output.length;
      if (this.#waiting > 0) this.#held += output.length;
      return;
    }
    this.#isPlaying = true;
    this.#held = 0;
    const count = this.#take(output);
    this.#calm += count;
    this.#silent = output.length - count;
    if (count < output.length) this.#isPlaying = false;
    if (this.#calm > CALM_S * this.#rateHz) this.#settle();
  }

  // Of a few samples the rest may never come.
  get #isDue() {
    return this.#waiting > 0 && (this.#hasEnded || Math.max(this.#waiting, this.#held) >= this.#target);
  }

  #playCut(output) {
    output.set(this.#cut.subarray(0, output.length));
    const rest = this.#cut.subarray(output.length);
    this.#cut = rest.length > 0 ? rest : null;
  }

  #take(output) {
    let count = 0;
    while (count < output.length && this.#pieces.length > 0) {
      const [piece] = this.#pieces;
      const part = piece.subarray(this.#used, this.#used + output.length - count);
      output.set(part, count);
      count += part.length;
      this.#used += part.length;
      if (this.#used === piece.length) {
        this.#pieces.shift();
        this.#used = 0;
      }
    }
    this.#waiting -= count;
    return count;
  }

  #drop() {
    this.#waiting -= this.#pieces.shift().length - this.#used;
    this.#used = 0;
  }

  #handleGap() {
    this.gaps += 1;
    this.#calm = 0;
    this.#target = Math.min(MOST_S * this.#rateHz, this.#target + STEP_S * this.#rateHz * 2);
  }

  #settle() {
    this.#calm = 0;
    this.#target = Math.max(LEAST_S * this.#rateHz, this.#target - STEP_S * this.#rateHz);
  }
}

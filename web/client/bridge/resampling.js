// Samples at a whole fraction of a device's rate, and back. Pure.

const LOWEST_RATE_HZ = 22_050; // speech has nothing above half of it that a model hears
const TAPS_PER_PHASE = 16;

/** How many samples of a device become one on the wire: its rate divided by it is 22 to 44 kHz. */
export function factorOf(rateHz) {
  return Math.max(1, Math.floor(rateHz / LOWEST_RATE_HZ));
}

// Low-pass at half of the lower rate: a sinc under a Hann window.
function lowPass(factor) {
  const taps = new Float32Array(TAPS_PER_PHASE * factor);
  const middle = (taps.length - 1) / 2;
  let sum = 0;
  for (let at = 0; at < taps.length; at += 1) {
    const x = ((at - middle) / factor) * 0.92 * Math.PI;
    const window = 0.5 - 0.5 * Math.cos((2 * Math.PI * (at + 0.5)) / taps.length);
    taps[at] = (x === 0 ? 1 : Math.sin(x) / x) * window;
    sum += taps[at];
  }
  return taps.map((tap) => tap / sum);
}

/** From the device's rate to a fraction of it. */
export class Decimator {
  #factor;
  #taps;
  #past;
  #phase = 0;

  constructor(factor) {
    this.#factor = factor;
    this.#taps = lowPass(factor);
    this.#past = new Float32Array(this.#taps.length);
  }

  /** @param {Float32Array} samples @returns {number[]} */
  push(samples) {
    if (this.#factor === 1) return Array.from(samples);
    const length = this.#taps.length;
    const line = new Float32Array(length + samples.length);
    line.set(this.#past);
    line.set(samples, length);
    const out = [];
    for (let at = 0; at < samples.length; at += 1) {
      this.#phase += 1;
      if (this.#phase < this.#factor) continue;
      this.#phase = 0;
      let sum = 0;
      for (let tap = 0; tap < length; tap += 1) sum += line[at + 1 + tap] * this.#taps[tap];
      out.push(sum);
    }
    this.#past = line.slice(-length);
    return out;
  }
}

/** From a fraction of the device's rate to its own. */
export class Interpolator {
  #factor;
  #taps;
  #past = new Float32Array(TAPS_PER_PHASE);

  constructor(factor) {
    this.#factor = factor;
    this.#taps = lowPass(factor).map((tap) => tap * factor);
  }

  /** @param {Float32Array} samples @returns {Float32Array} `factor` times as many */
  push(samples) {
    const factor = this.#factor;
    if (factor === 1) return samples;
    const line = new Float32Array(TAPS_PER_PHASE + samples.length);
    line.set(this.#past);
    line.set(samples, TAPS_PER_PHASE);
    const out = new Float32Array(samples.length * factor);
    for (let at = 0; at < samples.length; at += 1) {
      for (let phase = 0; phase < factor; phase += 1) {
        let sum = 0;
        for (let tap = 0; tap < TAPS_PER_PHASE; tap += 1) sum += line[at + TAPS_PER_PHASE - tap] * this.#taps[tap * factor + phase];
        out[at * factor + phase] = sum;
      }
    }
    this.#past = line.slice(-TAPS_PER_PHASE);
    return out;
  }
}

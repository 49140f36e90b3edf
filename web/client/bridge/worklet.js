// In the audio thread: the microphone in pieces of 20 ms, and the agent's voice out of its buffer.

import { PlayoutBuffer } from "./playout_buffer.js";
import { Decimator, Interpolator, factorOf } from "./resampling.js";

const PIECE_S = 0.02;
const REPORT_S = 0.25;

class Microphone extends AudioWorkletProcessor {
  #decimator = new Decimator(factorOf(sampleRate));
  #piece = new Int16Array(Math.round((sampleRate / factorOf(sampleRate)) * PIECE_S));
  #filled = 0;

  process([[channel]]) {
    if (channel === undefined) return true;
    for (const sample of this.#decimator.push(channel)) {
      this.#piece[this.#filled] = Math.max(-32768, Math.min(32767, Math.round(sample * 32767)));
      this.#filled += 1;
      if (this.#filled === this.#piece.length) this.#send();
    }
    return true;
  }

  #send() {
    const piece = this.#piece.slice().buffer;
    this.port.postMessage(piece, [piece]);
    this.#filled = 0;
  }
}

class Voice extends AudioWorkletProcessor {
  #buffer = new PlayoutBuffer(sampleRate);
  #interpolator = new Interpolator(factorOf(sampleRate));
  #isClosed = false;
  #sinceReport = 0;

  constructor() {
    super();
    this.port.onmessage = ({ data }) => this.#handle(data);
  }

  process(_inputs, [[channel]]) {
    this.#buffer.pull(channel);
    this.#sinceReport += channel.length;
    if (this.#sinceReport > REPORT_S * sampleRate) {
      this.#sinceReport = 0;
      this.port.postMessage({ delayS: this.#buffer.delayS, gaps: this.#buffer.gaps });
    }
    return !this.#isClosed;
  }

  #handle(data) {
    if (data instanceof ArrayBuffer) this.#buffer.push(this.#interpolator.push(toFloat(data)));
    else if (data === "end") this.#buffer.end();
    else if (data === "clear") this.#buffer.clear();
    else this.#isClosed = true;
  }
}

function toFloat(buffer) {
  const view = new DataView(buffer);
  const samples = new Float32Array(buffer.byteLength >> 1);
  for (let at = 0; at < samples.length; at += 1) samples[at] = view.getInt16(at * 2, true) / 32768;
  return samples;
}

registerProcessor("parley-microphone", Microphone);
registerProcessor("parley-voice", Voice);

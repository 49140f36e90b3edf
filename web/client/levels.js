// How loud a stream is, 0 to 1 on a decibel scale.

const FLOOR_DB = -60;
const SPEECH_LEVEL = 0.3; // -42 dB full scale: above room noise, below quiet speech

/** Whether a level is that of a voice. */
export function isVoice(level) {
  return level >= SPEECH_LEVEL;
}

/** Level of some samples in -1 to 1. */
function levelOf(samples) {
  let sum = 0;
  for (const sample of samples) sum += sample * sample;
  const db = 10 * Math.log10(sum / samples.length + 1e-12);
  return Math.min(1, Math.max(0, 1 - db / FLOOR_DB));
}

/** Taps any number of streams and tells their loudest level. */
export class LevelMeter {
  #context;
  #taps = new Map();

  constructor(context) {
    this.#context = context;
  }

  add(key, stream) {
    this.addNode(key, this.#context.createMediaStreamSource(stream));
  }

  /** The same of a node of the context. */
  addNode(key, source) {
    this.remove(key);
    const analyser = new AnalyserNode(this.#context, { fftSize: 1024 });
    source.connect(analyser);
    this.#taps.set(key, { source, analyser, samples: new Float32Array(analyser.fftSize) });
  }

  remove(key) {
    const tap = this.#taps.get(key);
    tap?.source.disconnect(tap.analyser);
    this.#taps.delete(key);
  }

  read() {
    let loudest = 0;
    for (const { analyser, samples } of this.#taps.values()) {
      analyser.getFloatTimeDomainData(samples);
      loudest = Math.max(loudest, levelOf(samples));
    }
    return loudest;
  }
}

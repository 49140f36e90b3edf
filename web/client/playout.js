// How late a voice is heard on this page, from the browser's statistics of its connection. Pure.

const LEAST_BUFFER_S = 0.02; // nobody plays a frame before it is there

export class PlayoutMeter {
  #buffer = new RunningMean();
  #device = new RunningMean();
  #hasRead = false;

  /**
   * @param entries values of an RTCStatsReport
   * @returns the fields of a `client_playout_report`; null when nothing was played since the last one
   */
  read(entries) {
    const found = Object.fromEntries([...entries].filter(isWanted).map((entry) => [entry.type, entry]));
    const { "inbound-rtp": voice = {}, "media-playout": device = {}, "candidate-pair": path = {} } = found;
    const isNew = this.#buffer.note(voice.jitterBufferDelay, voice.jitterBufferEmittedCount);
    this.#device.note(device.totalPlayoutDelay, device.totalSamplesCount);
    if (this.#hasRead && !isNew) return null;
    this.#hasRead = true;
    const delayS = (this.#buffer.value ?? LEAST_BUFFER_S) + (this.#device.value ?? 0);
    const report = { playout_delay_ms: Math.round(delayS * 1000) };
    if (path.currentRoundTripTime !== undefined) report.round_trip_ms = path.currentRoundTripTime * 1000;
    return report;
  }
}

function isWanted({ type, kind, nominated }) {
  switch (type) {
    case "inbound-rtp": return kind === "audio";
    case "candidate-pair": return nominated === true;
    default: return type === "media-playout";
  }
}

/** The mean of what was added to a sum since the last look, from the sum and the count. */
class RunningMean {
  #sum = 0;
  #count = 0;
  value = null;

  /** @returns {boolean} whether anything was added. */
  note(sum = 0, count = 0) {
    const isNew = count > this.#count;
    if (isNew) this.value = (sum - this.#sum) / (count - this.#count);
    this.#sum = sum;
    this.#count = count;
    return isNew;
  }
}

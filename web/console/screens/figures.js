// Figures in words. Pure.

const NONE = "–";
const MINUTE_S = 60;
const HOUR_S = 3600;
const DAY_S = 86_400;

function isMissing(value) {
  return value === null || value === undefined || Number.isNaN(value);
}

/** Milliseconds of a latency: "480 ms", "1.2 s". */
export function latency(ms) {
  if (isMissing(ms)) return NONE;
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
}

/** A duration in seconds by its two largest units: "8 s", "3 min 05 s", "2 h 10 min", "4 d 3 h". */
export function duration(seconds) {
  if (isMissing(seconds)) return NONE;
  const whole = Math.max(0, Math.floor(seconds));
  const pad = (value) => String(value).padStart(2, "0");
  if (whole < MINUTE_S) return `${whole} s`;
  if (whole < HOUR_S) return `${Math.floor(whole / MINUTE_S)} min ${pad(whole % MINUTE_S)} s`;
  if (whole < DAY_S) return `${Math.floor(whole / HOUR_S)} h ${pad(Math.floor((whole % HOUR_S) / MINUTE_S))} min`;
  return `${Math.floor(whole / DAY_S)} d ${Math.floor((whole % DAY_S) / HOUR_S)} h`;
}

/** Memory in bytes: "14.2 MB". */
export function memory(bytes) {
  if (isMissing(bytes)) return NONE;
  const mega = bytes / 1e6;
  return mega < 1000 ? `${mega.toFixed(mega < 100 ? 1 : 0)} MB` : `${(mega / 1000).toFixed(1)} GB`;
}

/** MiB of a machine's memory: "21.5 GiB". */
export function mebibytes(mib) {
  if (isMissing(mib)) return NONE;
  return mib < 1024 ? `${Math.round(mib)} MiB` : `${(mib / 1024).toFixed(1)} GiB`;
}

export function percent(value) {
  if (isMissing(value)) return NONE;
  return value !== 0 && Math.abs(value) < 10 ? `${value.toFixed(1)} %` : `${Math.round(value)} %`;
}

/** One of several: "1 agent", "2 agents". */
export function count(number, one, several = `${one}s`) {
  return `${number} ${number === 1 ? one : several}`;
}

/** How long ago a Unix time (ms) was. */
export function ago(atMs, nowMs) {
  return isMissing(atMs) ? NONE : `${duration((nowMs - atMs) / 1000)} ago`;
}

/** Processor use of each agent between two readings, in percent of one core, by the agent's id. */
export class ProcessorUse {
  #last = new Map();

  /** agents: of `GET /status` at `atMs`. Before a second reading: the average of the process's life. */
  update(agents, atMs) {
    const now = new Map();
    const shares = new Map();
    for (const { agent_id: id, pid, cpu_s: cpuS, uptime_s: uptimeS } of agents) {
      if (isMissing(cpuS)) continue;
      const last = this.#last.get(id);
      const isSame = last?.pid === pid && atMs > last.atMs;
      // The kernel's figure is read at heartbeats: between two of them it stands still.
      if (isSame && cpuS === last.cpuS && atMs - last.atMs < 5000) {
        now.set(id, last);
        shares.set(id, last.share);
        continue;
      }
      const share = isSame ? (1e5 * (cpuS - last.cpuS)) / (atMs - last.atMs) : (100 * cpuS) / Math.max(uptimeS, 1);
      now.set(id, { pid, cpuS, atMs, share });
      shares.set(id, share);
    }
    this.#last = now;
    return shares;
  }
}

/** What a state of an agent is called. */
export const STATES = {
  starting: "Starting",
  joining: "Starting",
  connecting: "Starting",
  ready: "Ready",
  running: "In a call",
  draining: "Ending",
  stopping: "Ending",
  backoff: "Restarting",
  fatal: "Failed",
  exited: "Ended",
};

/** ok, busy, or bad: how a state looks. */
export function toneOf(state) {
  if (["ready", "running"].includes(state)) return "ok";
  return ["backoff", "fatal", "exited"].includes(state) ? "bad" : "busy";
}

/** Health of a provider in words and tone. */
export const HEALTH = {
  ok: ["Sessions open", "ok"],
  unstable: ["Unstable", "busy"],
  failing: ["Failing", "bad"],
  unused: ["Not asked lately", "idle"],
};

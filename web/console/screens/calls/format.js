// Figures and words of the calls screens. Pure: the present moment is an argument.

const TWO = (value) => String(value).padStart(2, "0");

/** A place in a call: `1:05`, `1:02:03`. */
export function formatClock(ms) {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  const [hours, minutes, rest] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  return hours > 0 ? `${hours}:${TWO(minutes)}:${TWO(rest)}` : `${minutes}:${TWO(rest)}`;
}

/** The length of a call in words: `45 s`, `3 min 12 s`, `1 h 05 min`. */
export function formatDuration(ms) {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${TWO(seconds % 60)} s`;
  return `${Math.floor(seconds / 3600)} h ${TWO(Math.floor(seconds / 60) % 60)} min`;
}

/** A latency: `820 ms`, `1.24 s`; a dash where there is none. */
export function formatMs(ms) {
  if (ms === null || ms === undefined) return "–";
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(2)} s`;
}

/** Money of MODEL_PRICES, which names no currency; a dash where nothing was counted. */
export function formatCost(cost) {
  if (!cost) return "–";
  if (cost < 0.0001) return "< 0.0001";
  return cost < 1 ? cost.toFixed(4) : cost.toFixed(2);
}

/** A count with its thousands apart. */
export function formatCount(count) {
  return new Intl.NumberFormat("en").format(count);
}

const UNITS = ["B", "kB", "MB", "GB", "TB"];

/** Bytes in the largest unit that leaves one digit or more. */
export function formatBytes(bytes) {
  if (bytes === null || bytes === undefined) return "–";
  let [value, unit] = [bytes, 0];
  while (value >= 1000 && unit < UNITS.length - 1) [value, unit] = [value / 1000, unit + 1];
  return `${value >= 100 || unit === 0 ? Math.round(value) : value.toFixed(1)} ${UNITS[unit]}`;
}

function dayOf(ms) {
  const date = new Date(ms);
  return new Date(date.getFullYear(), date.getMonth(), date.getDate()).getTime();
}

const TIME = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const DAY = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });
const DAY_OF_YEAR = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year: "numeric" });

/** `{day, time}` of a moment, in the reader's own time zone. */
export function formatWhen(ms, now) {
  const days = Math.round((dayOf(now) - dayOf(ms)) / 86_400_000);
  const isThisYear = new Date(ms).getFullYear() === new Date(now).getFullYear();
  const day = days === 0 ? "Today" : days === 1 ? "Yesterday" : (isThisYear ? DAY : DAY_OF_YEAR).format(ms);
  return { day, time: TIME.format(ms) };
}

/** How long a call took, or takes until now, in ms. */
export function durationOf({ started_at_ms: start, ended_at_ms: end }, now) {
  return Math.max(0, (end ?? now) - start);
}

// Words and tone of every exit reason: of conversation/lifecycle.py.
const EXITS = {
  stopped: ["Stopped", "plain"],
  hung_up: ["Agent hung up", "ok"],
  drained: ["Drained", "plain"],
  user_left: ["Person left", "ok"],
  no_user: ["Nobody came", "warn"],
  idle: ["Idle", "warn"],
  max_duration: ["Longest time", "warn"],
  budget_spent: ["Budget spent", "warn"],
  provider_failed: ["Provider failed", "error"],
  room_lost: ["Room lost", "error"],
  start_failed: ["Start failed", "error"],
  crashed: ["Crashed", "error"],
  unresponsive: ["Unresponsive", "error"],
  unhealthy: ["Unhealthy", "error"],
  out_of_memory: ["Out of memory", "error"],
  supervisor_gone: ["Server gone", "error"],
};

/** Every exit reason, as the API spells it. */
export const EXIT_REASONS = Object.keys(EXITS);

/** An exit reason, or any other word with underscores, for people. */
export function wordsOf(name) {
  return EXITS[name]?.[0] ?? sentence(name.replaceAll("_", " "));
}

function sentence(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** How a call is told in one word: `{text, tone}`; tone: live, ok, plain, warn or error. */
export function outcomeOf({ ended_at_ms: end, exit_reason: reason, state }) {
  if (end === null) return { text: state === "running" ? "Live" : `Live, ${state.replaceAll("_", " ")}`, tone: "live" };
  if (!reason) return { text: "Ended", tone: "plain" };
  return { text: wordsOf(reason), tone: EXITS[reason]?.[1] ?? "plain" };
}

/** The value that a share of all does not exceed, 0.5 for the middle one; null of none. */
export function quantile(values, share) {
  if (values.length === 0) return null;
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)];
}

// The waterfall of a turn's latency. Pure. turn: of `GET /calls/{id}/timeline`; its `at_ms` is the end of speech.

import { formatMs, quantile } from "./format.js";

/** Steps from the end of a person's speech to the first sound heard, in order. */
export const STEPS = [
  { name: "endpointing", field: "speech_end_to_endpoint_ms", label: "Endpointing", hint: "from the end of speech until the turn counts as over" },
  { name: "model", field: "endpoint_to_first_byte_ms", label: "Model", hint: "until the model's first byte" },
  { name: "audio", field: "first_byte_to_first_audio_ms", label: "First audio out", hint: "until the first sound leaves, tools included" },
  { name: "way", field: "first_audio_to_heard_ms", label: "Heard", hint: "the way to the listener" },
];

/** Known steps of a turn: `[{name, label, start, ms}]`; start: ms after the end of speech. */
export function stepsOf(turn) {
  let start = 0;
  return STEPS.filter(({ field }) => typeof turn[field] === "number").map(({ name, label, field }) => {
    const step = { name, label, start, ms: turn[field] };
    start += turn[field];
    return step;
  });
}

/** From the end of speech to the first sound heard, as far as its steps are known. */
export function totalOf(turn) {
  return stepsOf(turn).reduce((sum, { ms }) => sum + ms, 0);
}

/** A round number of ms that no turn exceeds. */
export function scaleOf(turns) {
  const longest = Math.max(500, ...turns.map(totalOf));
  const unit = 10 ** Math.floor(Math.log10(longest));
  return [1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10].map((factor) => factor * unit).find((scale) => scale >= longest);
}

/** `{count, median, p95, slowest}` of the turns that were answered aloud. */
export function figuresOf(turns) {
  const totals = turns.filter(isHeard).map(totalOf);
  return { count: totals.length, median: quantile(totals, 0.5), p95: quantile(totals, 0.95), slowest: quantile(totals, 1) };
}

function isHeard({ first_byte_to_first_audio_ms: ms }) {
  return typeof ms === "number";
}

/** A turn in words: `Turn 2: 820 ms. Endpointing 300 ms, Model 420 ms, ...`. */
export function wordsOfTurn(turn, number) {
  const steps = stepsOf(turn).map(({ label, ms }) => `${label} ${formatMs(ms)}`);
  const end = isHeard(turn) ? "" : ", given up before it was heard";
  return `Turn ${number}: ${formatMs(totalOf(turn))}${end}. ${steps.join(", ")}`;
}

// Where things are on the timeline of a call. Pure: milliseconds in, pixels and words out.
//
// timeline: of `GET /calls/{id}/timeline`; its levels are peaks from 0 to 255, one for each `window_ms`.

import { formatClock } from "./format.js";

// Of 255: quieter peaks are room noise.
const VOICE = 10;
// A gap shorter than this is a breath, not the end of what somebody says.
const JOIN_MS = 600;
const SHORTEST_VOICE_MS = 80;
const MAX_ZOOM_MS = 2000;

/** Stretches in which one side speaks: `[{start, end}]` in ms. */
export function voiceSpans(levels, windowMs) {
  const spans = [];
  for (let place = 0; place < levels.length; place += 1) {
    if (levels[place] < VOICE) continue;
    const [start, end] = [place * windowMs, (place + 1) * windowMs];
    const last = spans.at(-1);
    if (last !== undefined && start - last.end < JOIN_MS) last.end = end;
    else spans.push({ start, end });
  }
  return spans.filter(({ start, end }) => end - start >= SHORTEST_VOICE_MS);
}

/** Who speaks when: `{user, agent, overlaps, pauses}`, each a list of spans. */
export function speechOf({ user, agent, window_ms: windowMs, marks }) {
  const spansOf = (wanted) =>
    marks.filter(({ kind }) => kind === wanted).map(({ at_ms: start, duration_ms: ms }) => ({ start, end: start + (ms ?? 0) }));
  return {
    user: voiceSpans(user, windowMs),
    agent: voiceSpans(agent, windowMs),
    overlaps: spansOf("overlap"),
    pauses: spansOf("pause"),
  };
}

/** Total length of spans in ms. */
export function lengthOf(spans) {
  return spans.reduce((sum, { start, end }) => sum + end - start, 0);
}

/** One bar for each `step` px of the view: the loudest peak in it, 0 to 1. */
export function barsOf(levels, windowMs, { start, end }, width, step) {
  const count = Math.max(0, Math.floor(width / step));
  const perBar = (end - start) / count / windowMs;
  return Array.from({ length: count }, (_, place) => {
    const first = Math.floor(start / windowMs + place * perBar);
    const last = Math.max(first + 1, Math.ceil(start / windowMs + (place + 1) * perBar));
    let peak = 0;
    for (let at = Math.max(0, first); at < Math.min(levels.length, last); at += 1) peak = Math.max(peak, levels[at]);
    return peak / 255;
  });
}

/** Where a time is in the view, in px; and back. */
export function toX(ms, { start, end }, width) {
  return ((ms - start) / (end - start)) * width;
}

export function toMs(x, { start, end }, width) {
  return start + (x / width) * (end - start);
}

const STEPS_MS = [500, 1000, 2000, 5000, 10_000, 15_000, 30_000, 60_000, 120_000, 300_000, 600_000, 1_800_000, 3_600_000];

/** Times under which the axis has a label, at least `apart` px from one another. */
export function ticksOf(view, width, apart = 72) {
  const length = view.end - view.start;
  const step = STEPS_MS.find((one) => (one / length) * width >= apart) ?? STEPS_MS.at(-1);
  const ticks = [];
  for (let at = Math.ceil(view.start / step) * step; at <= view.end; at += step) {
    ticks.push({ at, text: step < 1000 ? `${formatClock(at)}.${Math.floor(at / 100) % 10}` : formatClock(at) });
  }
  return ticks;
}

/** The view that shows `factor` times as much, around `center`, within the call. */
export function zoomed(view, factor, center, duration) {
  const length = Math.min(duration, Math.max(Math.min(MAX_ZOOM_MS, duration), (view.end - view.start) * factor));
  const share = (center - view.start) / (view.end - view.start);
  return within({ start: center - share * length, end: center + (1 - share) * length }, duration);
}

/** The view moved by some ms, within the call. */
export function moved(view, byMs, duration) {
  return within({ start: view.start + byMs, end: view.end + byMs }, duration);
}

/** The view moved so far that `at` is in it. */
export function following(view, at, duration) {
  const length = view.end - view.start;
  if (at >= view.start && at <= view.start + length * 0.9) return view;
  return within({ start: at - length * 0.1, end: at + length * 0.9 }, duration);
}

function within({ start, end }, duration) {
  const length = end - start;
  const from = Math.max(0, Math.min(start, duration - length));
  return { start: from, end: from + length };
}

const MARK_WORDS = {
  interrupted: "Agent interrupted",
  false_alarm: "False alarm, agent went on",
  tool_call: "Tool called",
  tool_result: "Tool answered",
  approval: "Approval asked",
  transfer: "Hand-over",
  state: "State",
  pause: "Nobody speaks",
  overlap: "Both speak",
};

/** What a mark says in words. */
export function wordsOfMark({ kind, text, duration_ms: ms }) {
  const words = MARK_WORDS[kind] ?? kind.replaceAll("_", " ");
  if (typeof ms === "number") return `${words} for ${seconds(ms)}`;
  return text ? `${words}: ${text}` : words;
}

/** Everything of a timeline in words and in order, for who cannot see it: `[{at, text}]`. */
export function asText({ marks, ...timeline }) {
  const speech = speechOf({ marks, ...timeline });
  const said = (who, spans) => spans.map(({ start, end }) => ({ at: start, text: `${who} speaks for ${seconds(end - start)}` }));
  return [
    ...said("Person", speech.user),
    ...said("Agent", speech.agent),
    ...marks.map((mark) => ({ at: mark.at_ms, text: wordsOfMark(mark) })),
  ].sort((a, b) => a.at - b.at);
}

function seconds(ms) {
  return `${(ms / 1000).toFixed(1)} s`;
}

/** Who speaks at a time: "Person", "Agent", "Both" or "". */
export function speakerAt({ user, agent }, at) {
  const isIn = (spans) => spans.some(({ start, end }) => at >= start && at < end);
  const [isUser, isAgent] = [isIn(user), isIn(agent)];
  if (isUser && isAgent) return "Both";
  return isUser ? "Person" : isAgent ? "Agent" : "";
}

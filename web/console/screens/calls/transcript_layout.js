// The lines of a call's page: words, tool calls and what happened between them, in order and with their
// places on the timeline. Pure.
//
// line: {key, kind, at, end, ...}; at: ms on the timeline, null where it is not known
//   kind "user" and "agent": speaker, text, unheard (words that were cut), isCut, isOpen
//   kind "tool": name, input, output, state, callId, approval
//   kind "note": text, tone

const TOOL_STATES = { done: "done", running: "running", failed: "failed", refused: "refused" };
const NOTED = {
  transfer: (text) => ({ text: text ? `Hand-over: ${text}` : "Hand-over", tone: "agent" }),
  false_alarm: () => ({ text: "A sound was taken for speech at first; the agent went on", tone: "plain" }),
};

/**
 * @param {object[]} entries of `GET /calls/{id}/transcript`
 * @param {{marks: object[]}|null} timeline
 * @param {{user: object[], agent: object[]}|null} speech spans of both voices
 * @param {number|null} startedAt Unix time in ms of the timeline's beginning
 */
export function linesOf({ entries, timeline, speech, startedAt }) {
  const marks = timeline?.marks ?? [];
  const lines = entries.map((entry) => ({ ...lineOf(entry, marks), at: placeOf(entry, startedAt) }));
  if (speech !== null) snap(lines, speech);
  const notes = marks
    .filter(({ kind }) => NOTED[kind] !== undefined)
    .map((mark, place) => ({ key: `note ${place}`, kind: "note", at: mark.at_ms, end: mark.at_ms, ...NOTED[mark.kind](mark.text ?? "") }));
  return inOrder(lines, notes);
}

function placeOf({ at_ms: at }, startedAt) {
  return startedAt === null ? null : Math.max(0, at - startedAt);
}

function lineOf(entry, marks) {
  if (entry.type === "call") return toolOf(entry, marks);
  const kind = entry.role === "user" ? "user" : entry.role === "assistant" ? "agent" : "note";
  const line = { key: `entry ${entry.number}`, kind, text: entry.text, end: null };
  if (kind === "note") return { ...line, tone: "plain" };
  const speaker = entry.speaker || (kind === "user" ? "Person" : "Agent");
  return { ...line, speaker, unheard: entry.unheard ?? "", isCut: entry.is_cut, isOpen: entry.is_open };
}

function toolOf({ number, call_id: callId, name, arguments: input, output }, marks) {
  const asked = marks.some(({ kind, text = "" }) => kind === "approval" && (text === name || text.startsWith(`${name} `)));
  return { key: `entry ${number}`, kind: "tool", callId, name, input: readJson(input), output, isAsked: asked, state: stateOf(output), end: null };
}

function stateOf(output) {
  if (output === null || output === undefined) return TOOL_STATES.running;
  const read = readJson(output);
  const isError = typeof read === "object" && read !== null && typeof read.error === "string";
  return isError ? (/refus|denied|not allowed|declin/i.test(read.error) ? TOOL_STATES.refused : TOOL_STATES.failed) : TOOL_STATES.done;
}

/** JSON, or the text itself. */
export function readJson(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

// An entry's time is when it was written down, which is after a person's words and about when a reply
// begins. The voice itself says better when each was said.
function snap(lines, speech) {
  let free = { user: 0, agent: 0 };
  for (const line of lines) {
    if (line.at === null || (line.kind !== "user" && line.kind !== "agent")) continue;
    const spans = speech[line.kind].filter(({ start }) => start >= free[line.kind]);
    const own = line.kind === "user" ? spansBefore(spans, line.at) : spansFrom(spans, line.at);
    if (own.length === 0) continue;
    line.at = own[0].start;
    line.end = own.at(-1).end;
    free = { ...free, [line.kind]: line.end };
  }
}

// What is written down is what was said until then, and nobody has had yet.
function spansBefore(spans, at) {
  return spans.filter(({ start }) => start < at);
}

const EARLY_MS = 1500;

function spansFrom(spans, at) {
  const first = spans.findIndex(({ end }) => end > at - EARLY_MS);
  return first < 0 ? [] : spans.slice(first, first + 1);
}

// Lines keep the order of the conversation; notes go where their time is.
function inOrder(lines, notes) {
  const all = [...lines];
  for (const note of notes) {
    const place = all.findIndex(({ at }) => at !== null && at > note.at);
    all.splice(place < 0 ? all.length : place, 0, note);
  }
  return all;
}

/** The line that is heard at a time: the last words that began until then; null before the first. */
export function currentLine(lines, at) {
  let found = null;
  for (const line of lines) {
    if (line.kind === "note" || line.kind === "tool" || line.at === null || line.at > at) continue;
    if (found === null || line.at >= found.at) found = line;
  }
  return found?.key ?? null;
}

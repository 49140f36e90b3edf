// Paints the timeline of a call on a canvas. What stands where is decided in timeline_layout.js.

import { barsOf, ticksOf, toX } from "./timeline_layout.js";
import { stepsOf } from "./turns_layout.js";

const AXIS_PX = 20;
const MARKS_PX = 26;
const TURNS_PX = 14;
const BAR_PX = 2;
const STEP_PX = 3;
const HIT_PX = 9;
const NAMES = ["ink", "ink-soft", "line", "line-strong", "sunken", "user", "agent", "danger", "warn", "step-endpointing", "step-model", "step-audio", "step-way", "surface"];
const FONT = "11px system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif";

/** The colours of the page as it is now. */
export function readColours(node) {
  const style = getComputedStyle(node);
  return Object.fromEntries(NAMES.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
}

/** Lanes from top to bottom: `{axis, marks, user, agent, turns}`, each `{top, height}`. */
function lanesOf(height) {
  const lane = (height - AXIS_PX - MARKS_PX - TURNS_PX) / 2;
  const top = AXIS_PX + MARKS_PX;
  return {
    marks: { top: AXIS_PX, height: MARKS_PX },
    user: { top, height: lane },
    agent: { top: top + lane, height: lane },
    turns: { top: top + 2 * lane, height: TURNS_PX },
  };
}

/** The mark under a place of the canvas, or null. */
export function hitMark({ x, y }, { marks, view, width }) {
  if (y < AXIS_PX || y > AXIS_PX + MARKS_PX) return null;
  const near = marks.filter(isMarked).map((mark) => ({ mark, distance: Math.abs(toX(mark.at_ms, view, width) - x) }));
  near.sort((a, b) => a.distance - b.distance);
  return near.length > 0 && near[0].distance <= HIT_PX ? near[0].mark : null;
}

// Spans are drawn from the levels, and states have a list of their own.
function isMarked({ kind }) {
  return !["pause", "overlap", "state"].includes(kind);
}

export function drawTimeline(pen, { width, height, view, timeline, speech, at, colours }) {
  const lanes = lanesOf(height);
  pen.clearRect(0, 0, width, height);
  pen.font = FONT;
  drawAxis(pen, { width, height, view, colours });
  drawSpans(pen, speech.pauses, { width, view, lanes, colour: colours.sunken, alpha: 1 });
  drawSpans(pen, speech.overlaps, { width, view, lanes, colour: colours.danger, alpha: 0.16 });
  for (const side of ["user", "agent"]) {
    const bars = barsOf(timeline[side], timeline.window_ms, view, width, STEP_PX);
    drawBars(pen, bars, lanes[side], colours[side]);
  }
  for (const turn of timeline.turns) drawTurn(pen, turn, { width, view, lane: lanes.turns, colours });
  for (const mark of timeline.marks.filter(isMarked)) {
    drawMark(pen, mark, { x: toX(mark.at_ms, view, width), width, lane: lanes.marks, bottom: lanes.turns.top, colours });
  }
  drawPlayhead(pen, { x: toX(at, view, width), width, height, colours });
}

function drawAxis(pen, { width, height, view, colours }) {
  pen.textBaseline = "top";
  for (const { at, text } of ticksOf(view, width)) {
    const x = Math.round(toX(at, view, width)) + 0.5;
    pen.fillStyle = colours.line;
    pen.fillRect(x - 0.5, AXIS_PX, 1, height - AXIS_PX);
    pen.fillStyle = colours["ink-soft"];
    if (x + 4 + pen.measureText(text).width < width) pen.fillText(text, x + (at === 0 ? 0 : 3), 3);
  }
}

function drawSpans(pen, spans, { width, view, lanes, colour, alpha }) {
  pen.save();
  pen.globalAlpha = alpha;
  pen.fillStyle = colour;
  const height = lanes.user.height + lanes.agent.height;
  for (const { start, end } of spans) {
    const [from, to] = [Math.max(0, toX(start, view, width)), Math.min(width, toX(end, view, width))];
    if (to > from) pen.fillRect(from, lanes.user.top, to - from, height);
  }
  pen.restore();
}

function drawBars(pen, bars, { top, height }, colour) {
  const middle = top + height / 2;
  pen.fillStyle = colour;
  bars.forEach((peak, place) => {
    // Speech is quiet most of the time: the root makes it visible.
    const size = Math.max(1.5, Math.sqrt(peak) * (height - 8));
    pen.globalAlpha = peak > 0.04 ? 1 : 0.25;
    pen.fillRect(place * STEP_PX, middle - size / 2, BAR_PX, size);
  });
  pen.globalAlpha = 1;
}

function drawTurn(pen, turn, { width, view, lane, colours }) {
  for (const { name, start, ms } of stepsOf(turn)) {
    const from = toX(turn.at_ms + start, view, width);
    const to = toX(turn.at_ms + start + ms, view, width);
    if (to < 0 || from > width) continue;
    pen.fillStyle = colours[`step-${name}`];
    pen.fillRect(from, lane.top + 4, Math.max(1, to - from), lane.height - 6);
  }
}

const TONES = { interrupted: "danger", false_alarm: "warn", approval: "warn", tool_call: "ink-soft", tool_result: "ink-soft", transfer: "agent" };

function drawMark(pen, { kind }, { x, width, lane, bottom, colours }) {
  if (x < -HIT_PX || x > width + HIT_PX) return;
  const colour = colours[TONES[kind]] ?? colours["ink-soft"];
  pen.save();
  pen.strokeStyle = colour;
  pen.fillStyle = colour;
  pen.globalAlpha = 0.55;
  pen.setLineDash([2, 3]);
  pen.beginPath();
  pen.moveTo(Math.round(x) + 0.5, lane.top + lane.height);
  pen.lineTo(Math.round(x) + 0.5, bottom);
  pen.stroke();
  pen.restore();
  pen.save();
  pen.translate(x, lane.top + lane.height / 2);
  pen.strokeStyle = colour;
  pen.fillStyle = colour;
  pen.lineWidth = 1.8;
  pen.lineCap = "round";
  (SHAPES[kind] ?? SHAPES.other)(pen);
  pen.restore();
}

// Each kind has a shape of its own, for who tells no colours apart.
const SHAPES = {
  interrupted(pen) {
    pen.beginPath();
    pen.moveTo(-4.5, -4.5);
    pen.lineTo(4.5, 4.5);
    pen.moveTo(4.5, -4.5);
    pen.lineTo(-4.5, 4.5);
    pen.stroke();
  },
  false_alarm(pen) {
    pen.beginPath();
    pen.moveTo(0, -5.5);
    pen.lineTo(5.5, 4.5);
    pen.lineTo(-5.5, 4.5);
    pen.closePath();
    pen.stroke();
  },
  tool_call(pen) {
    pen.beginPath();
    pen.roundRect(-5, -5, 10, 10, 2.5);
    pen.fill();
  },
  tool_result(pen) {
    pen.beginPath();
    pen.roundRect(-4.5, -4.5, 9, 9, 2.5);
    pen.stroke();
  },
  approval(pen) {
    pen.beginPath();
    pen.moveTo(0, -6);
    pen.lineTo(6, 0);
    pen.lineTo(0, 6);
    pen.lineTo(-6, 0);
    pen.closePath();
    pen.fill();
  },
  transfer(pen) {
    pen.beginPath();
    pen.moveTo(-5.5, 0);
    pen.lineTo(5, 0);
    pen.moveTo(1, -4);
    pen.lineTo(5, 0);
    pen.lineTo(1, 4);
    pen.stroke();
  },
  other(pen) {
    pen.beginPath();
    pen.arc(0, 0, 4, 0, 2 * Math.PI);
    pen.fill();
  },
};

function drawPlayhead(pen, { x, width, height, colours }) {
  if (x < 0 || x > width) return;
  pen.fillStyle = colours.ink;
  pen.fillRect(Math.min(width - 2, Math.max(0, Math.round(x) - 1)), AXIS_PX - 4, 2, height - AXIS_PX + 4);
  pen.beginPath();
  pen.arc(Math.min(width - 5, Math.max(5, x)), AXIS_PX - 4, 5, 0, 2 * Math.PI);
  pen.fill();
}

// The waterfall: each turn's latency, step by step, on one scale.

import { element, svg } from "../../dom.js";
import { formatClock, formatMs } from "./format.js";
import { STEPS, figuresOf, scaleOf, stepsOf, totalOf, wordsOfTurn } from "./turns_layout.js";

const UNITS = 1000; // of the drawing's width

/** A row for each turn; onSeek(ms): null without a recording. */
export function renderTurns(turns, onSeek) {
  const scale = scaleOf(turns);
  const { median, p95, slowest, count } = figuresOf(turns);
  const legend = element("ul", { class: "legend" }, STEPS.map(({ name, label, hint }) =>
    element("li", { title: `${label}: ${hint}` }, [element("i", { class: `swatch ${name}`, "aria-hidden": "true" }), element("span", { text: label })])));
  const figures = element("dl", { class: "figures" }, [
    figure("Median", formatMs(median)),
    figure("p95", formatMs(p95)),
    figure("Slowest", formatMs(slowest)),
    figure("Replies", String(count)),
  ]);
  const rows = turns.map((turn, place) => renderTurn(turn, place + 1, scale, onSeek));
  const axis = element("div", { class: "turn-axis", "aria-hidden": "true" }, [
    element("span", { text: "0" }),
    element("span", { text: formatScale(scale / 2) }),
    element("span", { text: formatScale(scale) }),
  ]);
  return element("div", { class: "turns" }, [figures, legend, axis, element("ol", { class: "turn-rows", tabindex: onSeek === null ? 0 : null }, rows)]);
}

function formatScale(ms) {
  return ms < 1000 ? `${ms} ms` : `${ms / 1000} s`;
}

function figure(label, value) {
  return element("div", {}, [element("dt", { text: label }), element("dd", { text: value })]);
}

function renderTurn(turn, number, scale, onSeek) {
  const drawing = svg("svg", { class: "turn-bar", viewBox: `0 0 ${UNITS} 16`, preserveAspectRatio: "none", "aria-hidden": "true", focusable: "false" },
    stepsOf(turn).map(({ name, start, ms }) =>
      svg("rect", { class: `step ${name}`, x: (start / scale) * UNITS, y: 0, width: Math.max(2, (ms / scale) * UNITS), height: 16 })));
  const words = wordsOfTurn(turn, number);
  const parts = [
    element("span", { class: "turn-number", "aria-hidden": "true", text: formatClock(turn.at_ms) }),
    drawing,
    element("span", { class: "turn-total", "aria-hidden": "true", text: formatMs(totalOf(turn)) }),
    element("span", { class: "visually-hidden", text: words }),
  ];
  if (onSeek === null) return element("li", {}, [element("div", { class: "turn-row", title: words }, parts)]);
  return element("li", {}, [element("button", { class: "turn-row", type: "button", title: words, on: { click: () => onSeek(turn.at_ms) } }, parts)]);
}

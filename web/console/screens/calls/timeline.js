// The timeline of a call: both voices, what happened between them, and how long each reply took. A slider:
// the arrow keys, a click, or a drag move through the call.

import { element } from "../../dom.js";
import { formatClock } from "./format.js";
import { drawTimeline, hitMark, readColours } from "./timeline_paint.js";
import { asText, following, moved, speakerAt, speechOf, toMs, wordsOfMark, zoomed } from "./timeline_layout.js";

const STEP_MS = 2000;
const PAGE_MS = 15_000;
const ZOOM = 1.6;
const DRAG_PX = 3;
// Signs of the marks, like the shapes that timeline_paint.js draws.
const MARKS = {
  interrupted: ["✕", "Interrupted"],
  false_alarm: ["△", "False alarm"],
  tool_call: ["■", "Tool called"],
  tool_result: ["□", "Tool answered"],
  approval: ["◆", "Approval asked"],
  transfer: ["→", "Hand-over"],
};
const LEGEND = [
  ["user", "Person"],
  ["agent", "Agent"],
  ["overlap", "Both speak"],
  ["pause", "Pause"],
  ["endpointing", "Endpointing"],
  ["model", "Model"],
  ["audio", "First audio"],
  ["way", "Heard"],
];
const SIDES = ["user", "agent"];
const VOICES = new Set([...SIDES, "overlap", "pause"]);

export class Timeline {
  #onSeek;
  #onToggle;
  #timeline = null;
  #speech = null;
  #view = { start: 0, end: 1 };
  #at = 0;
  #shownText = "";
  #colours = null;
  #isDue = false;
  #pressed = null;
  #canvas = element("canvas", { class: "timeline-canvas", "aria-hidden": "true" });
  #slider = element("div", { class: "timeline-slider", role: "slider", tabindex: 0, "aria-label": "Place in the call", "aria-valuemin": 0 });
  #tip = element("div", { class: "timeline-tip", hidden: true });
  #out = zoomButton("Show more of the call", "−");
  #in = zoomButton("Show less of the call", "+");
  #text = element("ol", { class: "timeline-text" });
  #legend = element("ul", { class: "legend" });
  #marks = element("ul", { class: "legend marks-legend" });
  #none = element("p", { class: "soft timeline-none", text: "Nobody's voice is known: the call was not recorded. Marks and latencies are shown where they were." });
  #resize = new ResizeObserver(() => this.#draw());
  #theme = matchMedia("(prefers-color-scheme: dark)");
  #handleTheme = () => this.#recolour();
  node;

  /** onSeek(ms): somebody wants to be there; onToggle(): to hear it, or to stop it. */
  constructor({ onSeek, onToggle }) {
    this.#onSeek = onSeek;
    this.#onToggle = onToggle;
    this.#slider.append(this.#canvas, this.#tip);
    this.#out.addEventListener("click", () => this.#zoom(ZOOM));
    this.#in.addEventListener("click", () => this.#zoom(1 / ZOOM));
    this.#listenToPointer();
    this.#slider.addEventListener("keydown", (event) => this.#handleKey(event));
    const words = element("details", { class: "timeline-words" }, [element("summary", { text: "Timeline in words" }), this.#text]);
    this.node = element("div", { class: "timeline" }, [
      this.#slider,
      element("div", { class: "timeline-foot" }, [element("div", { class: "legends" }, [this.#marks, this.#legend]), element("div", { class: "zoom", role: "group", "aria-label": "Zoom" }, [this.#out, this.#in])]),
      this.#none,
      words,
    ]);
    this.#resize.observe(this.#slider);
    this.#theme.addEventListener("change", this.#handleTheme);
  }

  close() {
    this.#resize.disconnect();
    this.#theme.removeEventListener("change", this.#handleTheme);
  }

  /** What the levels say of who speaks: `{user, agent, overlaps, pauses}`. */
  get speech() {
    return this.#speech;
  }

  show(timeline) {
    // A live call grows: who looks at a part of it goes on to see that part.
    const isWhole = this.#timeline === null || this.#view.end - this.#view.start >= this.#timeline.duration_ms;
    this.#timeline = timeline;
    this.#speech = speechOf(timeline);
    if (isWhole || this.#view.end > timeline.duration_ms) this.#view = { start: 0, end: Math.max(1, timeline.duration_ms) };
    this.#none.hidden = timeline.has_levels;
    const shown = new Set([...timeline.marks.map(({ kind }) => kind), ...(timeline.has_levels ? SIDES : [])]);
    this.#legend.replaceChildren(...LEGEND.filter(([name]) => shown.has(name) || !VOICES.has(name)).map(renderSwatch));
    this.#slider.setAttribute("aria-valuemax", Math.round(timeline.duration_ms / 1000));
    this.#showMarks(timeline.marks);
    this.#showText(asText(timeline));
    this.#tell();
    this.#recolour();
  }

  /** The recording is here; isPlaying: the view follows. */
  moveTo(ms, isPlaying) {
    this.#at = ms;
    if (isPlaying && this.#timeline !== null) this.#view = following(this.#view, ms, this.#timeline.duration_ms);
    this.#tell();
    this.#schedule();
  }

  #showMarks(marks) {
    const kinds = Object.keys(MARKS).filter((name) => marks.some(({ kind }) => kind === name));
    this.#marks.replaceChildren(...kinds.map((name) =>
      element("li", {}, [element("span", { class: `mark-sign ${name}`, "aria-hidden": "true", text: MARKS[name][0] }), element("span", { text: MARKS[name][1] })])));
    this.#marks.hidden = kinds.length === 0;
  }

  #showText(lines) {
    const shown = JSON.stringify(lines);
    if (shown === this.#shownText) return;
    this.#shownText = shown;
    this.#text.replaceChildren(...lines.map((line) => this.#renderLine(line)));
  }

  #renderLine({ at, text }) {
    const seek = element("button", { class: "time-link", type: "button", text: formatClock(at), on: { click: () => this.#onSeek(at) } });
    return element("li", {}, [seek, element("span", { text })]);
  }

  #tell() {
    const seconds = String(Math.floor(this.#at / 1000));
    if (this.#slider.getAttribute("aria-valuenow") === seconds || this.#timeline === null) return;
    const who = speakerAt(this.#speech, this.#at);
    const place = `${formatClock(this.#at)} of ${formatClock(this.#timeline.duration_ms)}`;
    this.#slider.setAttribute("aria-valuenow", seconds);
    this.#slider.setAttribute("aria-valuetext", who === "" ? place : `${place}, ${who === "Both" ? "both speak" : `${who.toLowerCase()} speaks`}`);
  }

  #recolour() {
    this.#colours = readColours(this.#slider);
    this.#schedule();
  }

  #schedule() {
    if (this.#isDue) return;
    this.#isDue = true;
    requestAnimationFrame(() => {
      this.#isDue = false;
      this.#draw();
    });
  }

  #draw() {
    const { clientWidth: width, clientHeight: height } = this.#canvas;
    if (this.#timeline === null || width === 0 || this.#colours === null) return;
    const scale = devicePixelRatio;
    const size = [Math.round(width * scale), Math.round(height * scale)];
    if (this.#canvas.width !== size[0] || this.#canvas.height !== size[1]) [this.#canvas.width, this.#canvas.height] = size;
    const pen = this.#canvas.getContext("2d");
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    const { duration_ms: duration } = this.#timeline;
    this.#in.disabled = this.#view.end - this.#view.start <= Math.min(2000, duration);
    this.#out.disabled = this.#view.end - this.#view.start >= duration;
    drawTimeline(pen, {
      width,
      height,
      view: this.#view,
      timeline: this.#timeline,
      speech: this.#speech,
      at: this.#at,
      colours: this.#colours,
    });
  }

  #zoom(factor, center = this.#centre()) {
    this.#view = zoomed(this.#view, factor, center, this.#timeline.duration_ms);
    this.#schedule();
  }

  #centre() {
    const { start, end } = this.#view;
    return this.#at >= start && this.#at <= end ? this.#at : (start + end) / 2;
  }

  #timeOf(event) {
    const box = this.#canvas.getBoundingClientRect();
    const ms = toMs(event.clientX - box.left, this.#view, box.width);
    return Math.max(0, Math.min(this.#timeline.duration_ms, ms));
  }

  // A click on a mark goes to the mark; a drag moves through the call.
  #listenToPointer() {
    const slider = this.#slider;
    slider.addEventListener("pointerdown", (event) => {
      if (event.button !== 0 || this.#timeline === null) return;
      slider.setPointerCapture(event.pointerId);
      this.#pressed = { x: event.clientX, isDrag: false };
    });
    slider.addEventListener("pointermove", (event) => {
      if (this.#timeline === null) return;
      this.#point(event);
      if (this.#pressed === null) return;
      this.#pressed.isDrag ||= Math.abs(event.clientX - this.#pressed.x) > DRAG_PX;
      if (this.#pressed.isDrag) this.#onSeek(this.#timeOf(event));
    });
    slider.addEventListener("pointerup", (event) => {
      if (this.#pressed === null) return;
      const { isDrag } = this.#pressed;
      this.#pressed = null;
      const mark = isDrag ? null : this.#markAt(event);
      this.#onSeek(mark === null ? this.#timeOf(event) : mark.at_ms);
    });
    slider.addEventListener("pointercancel", () => (this.#pressed = null));
    slider.addEventListener("pointerleave", () => (this.#tip.hidden = true));
    slider.addEventListener("wheel", (event) => this.#handleWheel(event), { passive: false });
  }

  #markAt(event) {
    const box = this.#canvas.getBoundingClientRect();
    const place = { x: event.clientX - box.left, y: event.clientY - box.top };
    return hitMark(place, { marks: this.#timeline.marks, view: this.#view, width: box.width });
  }

  #point(event) {
    const mark = this.#markAt(event);
    const ms = this.#timeOf(event);
    this.#tip.hidden = event.pointerType === "touch" && this.#pressed === null;
    this.#tip.textContent = mark === null ? formatClock(ms) : `${formatClock(mark.at_ms)} ${wordsOfMark(mark)}`;
    const box = this.#slider.getBoundingClientRect();
    const x = Math.max(0, Math.min(event.clientX - box.left, box.width - this.#tip.offsetWidth));
    this.#tip.style.setProperty("left", `${x}px`);
  }

  #handleWheel(event) {
    if (this.#timeline === null) return;
    if (event.ctrlKey || event.metaKey) {
      event.preventDefault();
      this.#zoom(event.deltaY > 0 ? 1.2 : 1 / 1.2, this.#timeOf(event));
    } else if (event.deltaX !== 0) {
      event.preventDefault();
      const perPx = (this.#view.end - this.#view.start) / this.#slider.clientWidth;
      this.#view = moved(this.#view, event.deltaX * perPx, this.#timeline.duration_ms);
      this.#schedule();
    }
  }

  #handleKey(event) {
    if (this.#timeline === null || event.ctrlKey || event.metaKey || event.altKey) return;
    const { duration_ms: duration } = this.#timeline;
    const steps = {
      ArrowLeft: this.#at - STEP_MS,
      ArrowDown: this.#at - STEP_MS,
      ArrowRight: this.#at + STEP_MS,
      ArrowUp: this.#at + STEP_MS,
      PageDown: this.#at - PAGE_MS,
      PageUp: this.#at + PAGE_MS,
      Home: 0,
      End: duration,
    };
    if (event.key === " ") this.#onToggle();
    else if (event.key === "+" || event.key === "-") this.#zoom(event.key === "-" ? ZOOM : 1 / ZOOM);
    else if (steps[event.key] !== undefined) this.#onSeek(Math.max(0, Math.min(duration, steps[event.key])));
    else return;
    event.preventDefault();
  }
}

function renderSwatch([name, text]) {
  return element("li", {}, [element("i", { class: `swatch ${name}`, "aria-hidden": "true" }), element("span", { text })]);
}

function zoomButton(label, text) {
  return element("button", { class: "button small zoom-button", type: "button", "aria-label": label, title: label, text });
}

// Draws the last seconds of a level as rounded bars; the newest stands at the right.

const BAR_PX = 3;
const GAP_PX = 2;
const BAR_MS = 55;
const REST_PX = 3;

export class Waveform {
  #canvas;
  #levels = [];
  #pending = 0;
  #lastBarAt = 0;
  #isStill = matchMedia("(prefers-reduced-motion: reduce)");

  constructor(canvas) {
    this.#canvas = canvas;
  }

  /** Take the level at `now` (ms) and redraw when a bar is full. */
  push(level, now) {
    this.#pending = Math.max(this.#pending, level);
    if (now - this.#lastBarAt < BAR_MS) return;
    this.#lastBarAt = now;
    this.#levels.push(this.#pending);
    this.#pending = 0;
    this.draw();
  }

  clear() {
    this.#levels = [];
    this.draw();
  }

  draw() {
    const { clientWidth: width, clientHeight: height } = this.#canvas;
    if (width === 0) return;
    const scale = devicePixelRatio;
    if (this.#canvas.width !== Math.round(width * scale)) this.#canvas.width = Math.round(width * scale);
    if (this.#canvas.height !== Math.round(height * scale)) this.#canvas.height = Math.round(height * scale);
    const pen = this.#canvas.getContext("2d");
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    pen.clearRect(0, 0, width, height);
    pen.fillStyle = getComputedStyle(this.#canvas).color;
    const count = Math.floor(width / (BAR_PX + GAP_PX));
    this.#levels = this.#levels.slice(-count);
    for (let place = 0; place < count; place += 1) this.#drawBar(pen, place, this.#levelAt(place, count), height);
  }

  // With reduced motion nothing scrolls: the bars fill like a plain meter.
  #levelAt(place, count) {
    if (this.#isStill.matches) return place / count < (this.#levels.at(-1) ?? 0) ? 0.6 : 0;
    return this.#levels[this.#levels.length - count + place] ?? 0;
  }

  #drawBar(pen, place, level, height) {
    const size = Math.max(REST_PX, level ** 1.6 * height);
    pen.globalAlpha = level > 0.12 ? 1 : 0.28;
    pen.beginPath();
    pen.roundRect(place * (BAR_PX + GAP_PX), (height - size) / 2, BAR_PX, size, BAR_PX / 2);
    pen.fill();
  }
}

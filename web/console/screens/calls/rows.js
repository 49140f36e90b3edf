// A long list of rows of one height, of which only those near the window are in the page.

import { placeChildren } from "./children.js";

const OVERSCAN = 12;

/** Which rows to make: `{first, end}`; top: of the list above the window's upper edge, in px. Pure. */
export function visibleRange({ top, windowHeight, rowHeight, count, overscan = OVERSCAN }) {
  const first = Math.max(0, Math.floor(top / rowHeight) - overscan);
  const end = Math.min(count, Math.ceil((top + windowHeight) / rowHeight) + overscan);
  return { first: Math.min(first, count), end: Math.max(end, Math.min(first, count)) };
}

export class VirtualRows {
  #body;
  #make;
  #keyOf;
  #records = [];
  #rows = new Map(); // by key: {record, row}
  #isDue = false;
  #handle = () => this.#schedule();

  /** body: holds the rows, each `--row-height` high; make(record, index): a row; keyOf(record): stable. */
  constructor(body, { make, keyOf }) {
    this.#body = body;
    this.#make = make;
    this.#keyOf = keyOf;
  }

  start() {
    addEventListener("scroll", this.#handle, { passive: true });
    addEventListener("resize", this.#handle);
  }

  stop() {
    removeEventListener("scroll", this.#handle);
    removeEventListener("resize", this.#handle);
  }

  /** Show these; rows whose record is the same object stay as they are. */
  show(records) {
    this.#records = records;
    this.draw();
  }

  draw() {
    this.#isDue = false;
    const rowHeight = parseFloat(getComputedStyle(this.#body).getPropertyValue("--row-height"));
    const top = -this.#body.getBoundingClientRect().top;
    const count = this.#records.length;
    const { first, end } = visibleRange({ top, windowHeight: innerHeight, rowHeight, count });
    const kept = new Map();
    const rows = [];
    for (let index = first; index < end; index += 1) {
      const record = this.#records[index];
      const key = this.#keyOf(record);
      const known = this.#rows.get(key);
      const row = known?.record === record ? known.row : this.#make(record);
      row.setAttribute("aria-rowindex", index + 2); // the head is the first one
      kept.set(key, { record, row });
      rows.push(row);
    }
    this.#rows = kept;
    placeChildren(this.#body, rows);
    this.#body.style.setProperty("padding-top", `${first * rowHeight}px`);
    this.#body.style.setProperty("padding-bottom", `${(count - end) * rowHeight}px`);
  }

  #schedule() {
    if (this.#isDue) return;
    this.#isDue = true;
    requestAnimationFrame(() => {
      if (this.#isDue) this.draw();
    });
  }
}

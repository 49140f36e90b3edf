// The transcript on a call's page: lines updated in place, the one that is heard marked.

import { element } from "../../dom.js";
import { placeChildren } from "./children.js";
import { formatClock } from "./format.js";

const NEAR_END_PX = 120;
const LONG_CHARACTERS = 700;
const TOOL_WORDS = { done: "done", running: "running", failed: "failed", refused: "refused", asking: "asks for permission" };

export class TranscriptView {
  #onSeek;
  #onVerdict;
  #list = element("ol", { class: "lines" });
  #scroller = element("div", { class: "lines-scroller", tabindex: 0, role: "region", "aria-label": "Transcript" });
  #empty = element("p", { class: "soft lines-empty", text: "No word was said." });
  #items = new Map(); // by key: {item, shown}
  #current = null;
  node;

  /** onSeek(ms): play from there; onVerdict(line, approve): a tool call that asks. */
  constructor({ onSeek, onVerdict }) {
    this.#onSeek = onSeek;
    this.#onVerdict = onVerdict;
    this.#scroller.append(this.#list, this.#empty);
    this.node = this.#scroller;
  }

  /** canSeek: there is a recording to go to. */
  show(lines, { canSeek }) {
    const isFollowing = this.#isNearEnd();
    const kept = new Map();
    const nodes = lines.map((line) => {
      const shown = JSON.stringify([line, canSeek]);
      const known = this.#items.get(line.key);
      const item = known?.shown === shown ? known.item : this.#render(line, canSeek);
      kept.set(line.key, { item, shown });
      return item;
    });
    placeChildren(this.#list, nodes);
    this.#items = kept;
    this.#empty.hidden = lines.length > 0;
    const current = this.#current;
    this.#current = null;
    this.mark(current);
    return isFollowing;
  }

  scrollToEnd() {
    this.#scroller.scrollTop = this.#scroller.scrollHeight;
  }

  /** Mark the line that is heard now, null for none; isFollowed: keep it in sight. */
  mark(key, isFollowed = false) {
    if (key === this.#current) return;
    this.#items.get(this.#current)?.item.removeAttribute("aria-current");
    this.#current = key;
    const item = this.#items.get(key)?.item;
    item?.setAttribute("aria-current", "true");
    if (item !== undefined && isFollowed) this.#keepInSight(item);
  }

  // The list alone is scrolled, never the page under somebody's eyes.
  #keepInSight(item) {
    const [box, frame] = [item.getBoundingClientRect(), this.#scroller.getBoundingClientRect()];
    if (box.top < frame.top + 24) this.#scroller.scrollTop += box.top - frame.top - 24;
    else if (box.bottom > frame.bottom - 24) this.#scroller.scrollTop += box.bottom - frame.bottom + 24;
  }

  #isNearEnd() {
    const { scrollHeight, scrollTop, clientHeight } = this.#scroller;
    return scrollHeight - scrollTop - clientHeight < NEAR_END_PX;
  }

  #render(line, canSeek) {
    const body = line.kind === "tool" ? this.#renderTool(line) : line.kind === "note" ? renderNote(line) : renderWords(line);
    const item = element("li", { class: `line ${line.kind}`, "data-state": line.state }, [this.#renderTime(line, canSeek), ...body]);
    if (canSeek && line.at !== null) {
      item.classList.add("seekable");
      // The time is the button; the line is a larger target for the same.
      item.addEventListener("click", ({ target }) => {
        if (target.closest("button, summary, pre, dl") === null && getSelection().isCollapsed) this.#onSeek(line.at);
      });
    }
    return item;
  }

  #renderTime({ at }, canSeek) {
    if (at === null) return element("span", { class: "line-time" });
    if (!canSeek) return element("span", { class: "line-time", text: formatClock(at) });
    const label = `Play from ${formatClock(at)}`;
    return element("button", { class: "line-time time-link", type: "button", "aria-label": label, title: label, text: formatClock(at), on: { click: () => this.#onSeek(at) } });
  }

  #renderTool(line) {
    const { name, input, output, state, isAsked } = line;
    const head = element("div", { class: "tool-head" }, [
      element("span", { class: "tool-name", text: name }),
      element("span", { class: "tool-state", text: isAsked && state === "done" ? "approved, done" : TOOL_WORDS[state] }),
    ]);
    const parts = [head];
    const pairs = typeof input === "object" && input !== null ? Object.entries(input) : [];
    if (pairs.length > 0) parts.push(renderPairs(pairs));
    else if (typeof input === "string" && input !== "") parts.push(element("pre", { class: "tool-output", tabindex: 0, text: input }));
    if (output !== null && output !== undefined) parts.push(renderOutput(output));
    if (state === "asking") parts.push(this.#renderQuestion(line));
    return [element("div", { class: "line-body tool-card" }, parts)];
  }

  #renderQuestion(line) {
    const button = (text, look, approve) =>
      element("button", { class: `button small ${look}`, type: "button", text, on: { click: () => this.#onVerdict(line, approve) } });
    return element("div", { class: "tool-form", role: "group", "aria-label": `May the agent use ${line.name}?` }, [
      element("p", { class: "tool-question", text: `May the agent use ${line.name}?` }),
      element("div", { class: "tool-verdicts" }, [button("Approve", "primary", true), button("Deny", "danger", false)]),
    ]);
  }
}

function renderWords({ speaker, text, unheard, isCut, isOpen, kind }) {
  const words = element("p", { class: "line-words" }, [text]);
  if (unheard !== "") {
    words.append(
      text === "" ? "" : " ",
      element("span", { class: "visually-hidden", text: "Not heard: " }),
      element("del", { class: "unheard", text: unheard }),
    );
  }
  const tags = [];
  if (isCut) tags.push(element("span", { class: "tag interrupted-tag", text: text === "" ? "Interrupted before a word was heard" : "Interrupted" }));
  if (isOpen) tags.push(element("span", { class: "tag open-tag", text: kind === "agent" ? "Speaking" : "Listening" }));
  return [element("div", { class: "line-body" }, [element("p", { class: "line-speaker" }, [element("span", { text: speaker }), ...tags]), words])];
}

function renderNote({ text, tone }) {
  return [element("p", { class: "line-body line-note", "data-tone": tone, text })];
}

function renderPairs(pairs) {
  const rows = pairs.map(([name, value]) => element("div", {}, [element("dt", { text: name }), element("dd", { text: plain(value) })]));
  return element("dl", { class: "tool-input" }, rows);
}

function plain(value) {
  return typeof value === "string" ? value : JSON.stringify(value);
}

function renderOutput(output) {
  const text = readable(output);
  const shown = element("pre", { class: "tool-output", tabindex: 0, text });
  if (text.length <= LONG_CHARACTERS) return shown;
  return element("details", { class: "tool-long" }, [element("summary", { text: `Result, ${text.length} characters` }), shown]);
}

function readable(output) {
  try {
    const parsed = JSON.parse(output);
    return typeof parsed === "string" ? parsed : JSON.stringify(parsed, null, 2);
  } catch {
    return output;
  }
}

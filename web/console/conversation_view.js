// Shows a Conversation: one list item per entry, updated in place, spoken to screen readers when final.

import { byId, element } from "./dom.js";

const NEAR_END_PX = 80;

export class ConversationView {
  #list = byId("entries");
  #scroller = byId("transcript");
  #empty = byId("transcript-empty");
  #announcer = byId("announcer");
  #items = new Map();
  #announced = new Set();
  #shown = new WeakMap();
  #alerts = byId("alerts");
  #handlers;

  /**
   * onToolAnswer(entry, text): the person answered a waiting tool call; onToolVerdict(entry, {approve,
   * always}): or decided about one that asked. Both return false if that could not be sent.
   */
  constructor(handlers) {
    this.#handlers = handlers;
  }

  clear() {
    this.#list.replaceChildren();
    this.#items.clear();
    this.#announced.clear();
    this.#announcer.textContent = "";
    this.#alerts.textContent = "";
    this.#empty.hidden = false;
  }

  apply({ changed, removed }) {
    const isFollowing = this.#isNearEnd();
    for (const entry of removed) this.#remove(entry);
    for (const entry of changed) this.#update(entry);
    this.#empty.hidden = this.#items.size > 0;
    if (isFollowing) this.#scroller.scrollTop = this.#scroller.scrollHeight;
  }

  #isNearEnd() {
    const { scrollHeight, scrollTop, clientHeight } = this.#scroller;
    return scrollHeight - scrollTop - clientHeight < NEAR_END_PX;
  }

  #remove(entry) {
    this.#items.get(entry?.key)?.remove();
    this.#items.delete(entry?.key);
  }

  #update(entry) {
    let item = this.#items.get(entry.key);
    if (item === undefined) {
      item = element("li", { class: `entry ${entry.kind}` });
      this.#items.set(entry.key, item);
      this.#list.append(item);
    }
    // These hold a form that somebody may be using.
    if (["waiting", "asking"].includes(entry.state) && item.dataset.state === entry.state) return;
    const isSame = item.dataset.state === entry.state && this.#shown.get(item) === entry.text;
    if (isSame && lightWords(item, entry.heard)) return;
    this.#shown.set(item, entry.text);
    item.dataset.state = entry.state;
    item.dataset.key = entry.key;
    item.classList.toggle("own", entry.kind === "user" || entry.isOwn === true);
    item.replaceChildren(...this.#render(entry));
    this.#announce(entry);
  }

  #render(entry) {
    switch (entry.kind) {
      case "tool": return renderTool(entry, this.#handlers);
      case "note": return [element("p", { class: "note-text", "data-tone": entry.tone, text: entry.text })];
      default: return renderWords(entry);
    }
  }

  #announce(entry) {
    if (entry.state === "hearing" || entry.state === "speaking" || this.#announced.has(entry.key)) return;
    if (entry.kind === "tool") return this.#alert(entry);
    this.#announced.add(entry.key);
    this.#announcer.textContent = [speakerOf(entry), entry.text].filter(Boolean).join(": ");
  }

  #alert({ state, name }) {
    if (state === "asking") this.#alerts.textContent = `The agent asks whether it may use ${name}. Decide in the transcript.`;
    else if (state === "waiting") this.#alerts.textContent = `The agent waits for your answer to ${name}, in the transcript.`;
  }
}

function speakerOf(entry) {
  if (entry.kind === "chat") return entry.from;
  return entry.speaker ?? "";
}

function renderWords(entry) {
  const words = element("p", { class: "words" });
  if (entry.text !== "") words.append(element("span", {}, renderHeard(entry)));
  if (entry.state === "hearing" && entry.text === "") words.append(dots());
  const parts = [element("span", { class: "speaker", text: speakerOf(entry) }), words];
  if (entry.state === "interrupted") words.append(renderCut(entry));
  return parts;
}

// What is heard or not as a whole, as the agent counts it: a word with the space before it, and each
// sign of a script that has no spaces.
const UNITS = /\s*(?:[\u2e80-\ud7ff\uf900-\ufaff]|[^\s\u2e80-\ud7ff\uf900-\ufaff]+)|\s+/gu;

function renderHeard({ text, heard }) {
  if (heard === undefined) return [text];
  let end = 0;
  return text.match(UNITS).map((unit) => {
    end += [...unit].length;
    return element("span", { class: `word${end > heard ? " ahead" : ""}`, "data-end": end, text: unit });
  });
}

/** Shows how far a reply was heard, without making its words anew; false when they are not there. */
function lightWords(item, heard) {
  const words = item.querySelectorAll(".word");
  if (heard === undefined || words.length === 0) return false;
  for (const word of words) word.classList.toggle("ahead", Number(word.dataset.end) > heard);
  return true;
}

function renderCut({ text, heardMs }) {
  const heard = text === "" ? "Interrupted before a word was heard" : "Interrupted";
  const seconds = (heardMs / 1000).toFixed(1);
  return element("span", { class: "cut", text: heard, title: `${seconds} s of this reply were heard` });
}

function dots() {
  return element("span", { class: "dots", role: "img", "aria-label": "listening" }, [1, 2, 3].map(() => element("i")));
}

const TOOL_WORDS = {
  asking: "asks for permission",
  calling: "running",
  waiting: "waits for you",
  refused: "refused",
  done: "done",
  failed: "failed",
};

function renderTool(entry, { onToolAnswer, onToolVerdict }) {
  const parts = [
    element("div", { class: "tool-head" }, [
      element("span", { class: "tool-name", text: entry.name }),
      element("span", { class: "tool-state", text: TOOL_WORDS[entry.state] }),
    ]),
  ];
  const input = Object.entries(entry.input ?? {});
  if (input.length > 0) parts.push(renderPairs(input));
  if (entry.output !== undefined) parts.push(element("pre", { class: "tool-output", text: readable(entry.output) }));
  if (entry.state === "waiting") parts.push(renderAnswerForm(entry, (text) => onToolAnswer(entry, text)));
  if (entry.state === "asking") parts.push(renderQuestion(entry, (verdict) => onToolVerdict(entry, verdict)));
  return parts;
}

function renderPairs(pairs) {
  const rows = pairs.map(([name, value]) =>
    element("div", {}, [element("dt", { text: name }), element("dd", { text: plain(value) })]),
  );
  return element("dl", { class: "tool-input" }, rows);
}

function plain(value) {
  return typeof value === "string" ? value : JSON.stringify(value);
}

// A tool may answer with JSON or with plain words; an object reads best line by line.
function readable(output) {
  let parsed;
  try {
    parsed = JSON.parse(output);
  } catch {
    return output;
  }
  if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed)) return plain(parsed);
  return Object.entries(parsed).map(([name, value]) => `${name}: ${plain(value)}`).join("\n");
}

function idFor(what, entry) {
  return `${what}-${entry.key.replaceAll(/[^A-Za-z0-9_-]/g, "-")}`;
}

function renderProblem() {
  return element("p", {
    class: "hint problem", hidden: true, role: "alert", text: "Not sent: the agent cannot be reached at the moment.",
  });
}

function renderQuestion(entry, onVerdict) {
  const id = idFor("question", entry);
  const problem = renderProblem();
  const button = (text, look, verdict) => {
    const click = () => (problem.hidden = onVerdict(verdict));
    return element("button", { class: `button small ${look}`, type: "button", text, on: { click } });
  };
  const where = entry.serverLabel ? ` (${entry.serverLabel})` : "";
  return element("div", { class: "tool-form", role: "group", "aria-labelledby": id }, [
    element("p", { id, class: "tool-question", text: `May the agent use ${entry.name}${where}?` }),
    element("div", { class: "tool-verdicts" }, [
      button("Allow", "primary", { approve: true, always: false }),
      button("Always allow", "", { approve: true, always: true }),
      button("Refuse", "danger", { approve: false, always: false }),
    ]),
    problem,
  ]);
}

function renderAnswerForm(entry, onAnswer) {
  const id = idFor("answer", entry);
  const field = element("input", {
    id, class: "tool-answer", maxlength: 4000, autocomplete: "off", placeholder: "Your answer",
  });
  const problem = renderProblem();
  const button = element("button", { class: "button small primary", type: "submit", text: "Answer" });
  const send = (event) => {
    event.preventDefault();
    if (field.value.trim() !== "") problem.hidden = onAnswer(field.value.trim());
  };
  return element("form", { class: "tool-form", on: { submit: send } }, [
    element("label", { for: id, text: `The agent asks for ${entry.name}` }),
    element("div", { class: "field-row" }, [field, button]),
    problem,
  ]);
}

// Parts that the panels of Setup are made of.

import { element } from "../../dom.js";

/** A panel with a heading; id: of the heading. */
export function createPanel(id, title, children) {
  return element("section", { class: "panel", "aria-labelledby": id }, [element("h2", { id, text: title }), ...children]);
}

/** A word about something, by tone: ok, busy, bad or idle. */
export function badge(text, tone = "idle") {
  return element("span", { class: "badge", "data-tone": tone, text });
}

/** A row: name and badges, then a button, then lines of text; `[text, look]` or a node. */
export function row(name, { badges = [], button = null, lines = [] } = {}) {
  const title = element("div", { class: "row-title" }, [element("span", { class: "row-name", text: name }), ...badges]);
  const head = button === null ? [title] : [title, button];
  const texts = lines.map((line) => (Array.isArray(line) ? element("p", { class: line[1], text: line[0] }) : line));
  return element("li", { class: "row" }, [element("div", { class: "row-head" }, head), ...texts]);
}

/** The result of a test, told by screen readers when it comes; `show(text, tone)`. */
export function createResult() {
  const node = element("p", { class: "row-result", role: "status", hidden: true });
  return {
    node,
    show(text, tone = "idle") {
      node.hidden = text === "";
      node.dataset.tone = tone;
      node.textContent = text;
    },
  };
}

/** A small button that is busy while its step runs; run(): a promise. */
export function testButton(text, label, run) {
  const button = element("button", { class: "button small", type: "button", text, "aria-label": label });
  button.addEventListener("click", async () => {
    if (button.getAttribute("aria-disabled") === "true") return;
    // Not `disabled`, which would lose the focus.
    button.setAttribute("aria-disabled", "true");
    try {
      await run(button);
    } finally {
      button.removeAttribute("aria-disabled");
    }
  });
  return button;
}

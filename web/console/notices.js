// Banners under the page's head: one per topic, with what to do about it.

import { byId, element } from "./dom.js";

const shown = new Map();

/** Show or replace the notice on `topic`; tone: info, warn or error; actions: [{label, run}]. */
export function showNotice(topic, { title, message = "", details = [], tone = "info", actions = [] }) {
  hideNotice(topic);
  const button = (look, text, click, attributes = {}) =>
    element("button", { class: look, type: "button", text, on: { click }, ...attributes });
  const act = ({ label, run }) =>
    button("button small", label, () => {
      hideNotice(topic);
      run();
    });
  const dismiss = { title: "Dismiss", "aria-label": `Dismiss: ${title}` };
  const notice = element("section", { class: "notice", "data-tone": tone, "data-topic": topic }, [
    element("div", { class: "notice-text" }, [
      element("p", { class: "notice-title", text: title }),
      ...(message ? [element("p", { text: message })] : []),
      ...(details.length > 0 ? [element("ul", {}, details.map((text) => element("li", { text })))] : []),
    ]),
    element("div", { class: "notice-actions" }, actions.map(act)),
    button("notice-close", "×", () => hideNotice(topic), dismiss),
  ]);
  shown.set(topic, notice);
  byId("notices").append(notice);
}

/** Take the notice on `topic` away, if there is one. */
export function hideNotice(topic) {
  shown.get(topic)?.remove();
  shown.delete(topic);
}

/** Take all of them away. */
export function hideAllNotices() {
  for (const topic of [...shown.keys()]) hideNotice(topic);
}

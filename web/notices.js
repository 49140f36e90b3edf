// Banners under the page's head: one per topic, with what to do about it.

import { byId, element } from "./dom.js";

const shown = new Map();

/** Show or replace the notice on `topic`; tone: info, warn or error; actions: [{label, run}]. */
export function showNotice(topic, { title, message = "", details = [], tone = "info", actions = [] }) {
  hideNotice(topic);
  const act = ({ label, run }) => element("button", { class: "button small", type: "button", text: label, on: { click: () => { hideNotice(topic); run(); } } });
  const notice = element("section", { class: "notice", "data-tone": tone, "data-topic": topic }, [
    element("div", { class: "notice-text" }, [
      element("p", { class: "notice-title", text: title }),
      ...(message ? [element("p", { text: message })] : []),
      ...(details.length > 0 ? [element("ul", {}, details.map((text) => element("li", { text })))] : []),
    ]),
    element("div", { class: "notice-actions" }, actions.map(act)),
    element("button", { class: "notice-close", type: "button", text: "×", title: "Dismiss", "aria-label": `Dismiss: ${title}`, on: { click: () => hideNotice(topic) } }),
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

// One row of the list of calls.

import { element } from "../../dom.js";
import { durationOf, formatCost, formatDuration, formatWhen, outcomeOf } from "./format.js";

/** Heads of the columns, in their order. */
export const COLUMNS = ["Started", "Call", "Person or thread", "Provider", "Duration", "Cost", "Outcome"];

function cell(name, children) {
  return element("div", { class: `cell cell-${name}`, role: "cell" }, children);
}

function words(text, look = "") {
  return element("span", { class: look, text, title: text });
}

/** The mark of how a call ended, or that it goes on. */
export function badgeOf(record) {
  const { text, tone } = outcomeOf(record);
  return element("span", { class: "call-badge", "data-tone": tone, text });
}

/** now: Unix time in ms. */
export function makeRow(record, now) {
  const { call_id: id, channel_name: channel, agent = "", thread_id: thread, person_id: person = "" } = record;
  const { day, time } = formatWhen(record.started_at_ms, now);
  const who = person || (thread === id ? "" : thread);
  const name = `Call in ${channel}, ${day} ${time}`;
  const link = element("a", { class: "call-link", href: `#/calls/${encodeURIComponent(id)}`, "aria-label": name, text: channel });
  return element("div", { class: "call-row", role: "row" }, [
    cell("start", [words(time, "time"), words(day, "soft")]),
    cell("call", [link, ...(agent ? [words(agent, "soft")] : [])]),
    cell("who", [words(who)]),
    cell("provider", [words(record.provider), ...(record.model === record.provider ? [] : [words(record.model, "soft")])]),
    cell("duration", [words(formatDuration(durationOf(record, now)))]),
    cell("cost", [words(formatCost(record.usage?.cost))]),
    cell("outcome", [
      badgeOf(record),
      ...(record.has_recording ? [element("span", { class: "soft recorded-mark", text: "Recorded" })] : []),
    ]),
  ]);
}

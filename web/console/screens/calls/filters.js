// Filters of the list of calls: what the form, the address and the API say of them. Pure.

import { wordsOf } from "./format.js";

/** Fields of the form by their names in the address; `label` is said before the value of a chip. */
export const FIELDS = {
  text: { label: "Search", query: "text" },
  range: { label: "Started" },
  from: { label: "From" },
  to: { label: "Until" },
  live: { label: "Only live" },
  channel: { label: "Channel", query: "channel" },
  agent: { label: "Agent", query: "agent" },
  person: { label: "Person", query: "person" },
  thread: { label: "Thread", query: "thread" },
  provider: { label: "Provider", query: "provider" },
  team: { label: "Team", query: "team" },
  exit: { label: "Ended", query: "exit_reason" },
  shortest: { label: "At least", query: "min_duration_s", isNumber: true, unit: "s" },
  longest: { label: "At most", query: "max_duration_s", isNumber: true, unit: "s" },
  cheapest: { label: "Cost from", query: "min_cost", isNumber: true },
  dearest: { label: "Cost up to", query: "max_cost", isNumber: true },
};

/** Times from which a call may be, by their names in the address: `[words, milliseconds back]`. */
export const RANGES = {
  hour: ["Last hour", 3_600_000],
  day: ["Last 24 hours", 86_400_000],
  week: ["Last 7 days", 7 * 86_400_000],
  month: ["Last 30 days", 30 * 86_400_000],
  own: ["Between two times", null],
};

/** Filters in an address: only fields that exist and have a usable value. */
export function readFilters(params) {
  const filters = {};
  for (const [name, field] of Object.entries(FIELDS)) {
    const value = (params.get(name) ?? "").trim();
    if (isUsable(name, field, value)) filters[name] = value;
  }
  if (filters.range !== "own") {
    delete filters.from;
    delete filters.to;
  }
  return filters;
}

function isUsable(name, { isNumber = false }, value) {
  if (value === "") return false;
  if (isNumber) return Number.isFinite(Number(value)) && Number(value) >= 0;
  if (name === "range") return Object.hasOwn(RANGES, value);
  if (name === "from" || name === "to") return !Number.isNaN(Date.parse(value));
  return name !== "live" || value === "1";
}

/** The query of `GET /calls`; now: Unix time in ms, from which ranges count back. */
export function toQuery(filters, now) {
  const query = {};
  for (const [name, { query: field }] of Object.entries(FIELDS)) {
    if (field !== undefined && filters[name] !== undefined) query[field] = filters[name];
  }
  if (filters.live === "1") query.is_live = "true";
  const back = RANGES[filters.range]?.[1];
  if (back) query.since = String(now - back);
  if (filters.from !== undefined) query.since = String(Date.parse(filters.from));
  if (filters.to !== undefined) query.until = String(Date.parse(filters.to));
  return query;
}

function valueText(name, value) {
  if (name === "range") return RANGES[value][0].toLowerCase();
  if (name === "exit") return wordsOf(value);
  if (name === "from" || name === "to") return value.replace("T", " ");
  return FIELDS[name].unit ? `${value} ${FIELDS[name].unit}` : value;
}

/** The filters that are in force, as chips: `[{name, text}]`. */
export function chipsOf(filters) {
  return Object.keys(FIELDS)
    .filter((name) => filters[name] !== undefined && !(name === "range" && filters.range === "own"))
    .map((name) => ({ name, text: name === "live" ? FIELDS.live.label : `${FIELDS[name].label}: ${valueText(name, filters[name])}` }));
}

/** The filters without one of them; a time of one's own goes with its last end. */
export function without(filters, name) {
  const { [name]: _gone, ...rest } = filters;
  if (rest.range === "own" && rest.from === undefined && rest.to === undefined) delete rest.range;
  return rest;
}

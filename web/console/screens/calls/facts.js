// What is known of a call beside its words: details, states, how it ended, what it used.

import { element, svg } from "../../dom.js";
import { durationOf, formatBytes, formatCost, formatCount, formatDuration, formatMs, formatWhen, wordsOf } from "./format.js";
import { lengthOf } from "./timeline_layout.js";

/** A panel with a heading; nothing where there is nothing to say. */
export function panel(title, children, { isOpen = null, look = "" } = {}) {
  const parts = children.filter((child) => child !== null);
  if (parts.length === 0) return null;
  if (isOpen === null) return element("section", { class: `card call-panel ${look}` }, [element("h2", { text: title }), ...parts]);
  return element("details", { class: `card call-panel ${look}`, open: isOpen }, [element("summary", {}, [element("h2", { text: title })]), ...parts]);
}

function pairs(rows) {
  const shown = rows.filter(([, value]) => value !== null && value !== "" && value !== undefined);
  if (shown.length === 0) return null;
  return element("dl", { class: "pairs" }, shown.map(([name, value]) =>
    element("div", {}, [element("dt", { text: name }), element("dd", {}, [value])])));
}

function code(text) {
  return element("code", { text });
}

function filterLink(name, value) {
  return element("a", { href: `#/calls?${new URLSearchParams({ [name]: value })}`, title: `All calls with this ${name}`, text: value });
}

export function renderDetails(call, now) {
  const { day, time } = formatWhen(call.started_at_ms, now);
  return panel("Details", [
    pairs([
      ["Started", `${day}, ${time}`],
      ["Length", formatDuration(durationOf(call, now))],
      ["Channel", filterLink("channel", call.channel_name)],
      ["Agent", call.agent ? filterLink("agent", call.agent) : null],
      ["Person", call.person_id ? filterLink("person", call.person_id) : null],
      ["Thread", filterLink("thread", call.thread_id)],
      ["Provider", call.provider],
      ["Model", call.model],
      ["Language", call.language],
      ["Team", call.team],
      ["Key", call.key],
      ["Call id", code(call.call_id)],
      ["Uid", String(call.uid)],
    ]),
  ]);
}

export function renderUsage({ usage = {} }) {
  return panel("Usage and cost", [
    element("dl", { class: "figures" }, [
      figure("Cost", formatCost(usage.cost)),
      figure("Replies", formatCount(usage.replies ?? 0)),
      figure("Tokens in", formatCount(usage.input_tokens ?? 0)),
      figure("Tokens out", formatCount(usage.output_tokens ?? 0)),
    ]),
  ]);
}

function figure(label, value) {
  return element("div", {}, [element("dt", { text: label }), element("dd", { text: value })]);
}

/** Figures of the conversation, from its timeline. */
export function renderFigures(timeline, speech) {
  if (timeline === null) return null;
  const count = (kind) => timeline.marks.filter((mark) => mark.kind === kind).length;
  const rows = [
    figure("Interruptions", String(count("interrupted"))),
    figure("False alarms", String(count("false_alarm"))),
    figure("Tool calls", String(count("tool_call"))),
  ];
  if (timeline.has_levels) {
    rows.unshift(figure("Person speaks", formatDuration(lengthOf(speech.user))), figure("Agent speaks", formatDuration(lengthOf(speech.agent))));
  }
  if (timeline.has_levels || speech.overlaps.length > 0) {
    rows.push(figure("Both at once", formatDuration(lengthOf(speech.overlaps))));
  }
  return panel("Conversation", [element("dl", { class: "figures wide" }, rows)]);
}

/** Phases of the start and each later state. */
export function renderStates({ black_box: box, timings_ms: timings, ended_at_ms: ended }, now) {
  const { states } = box;
  if (states.length === 0) return null;
  const rows = states.map(({ state, at_ms: at, process }, place) => {
    const next = states[place + 1]?.at_ms ?? ended ?? now;
    const isLast = place === states.length - 1 && ended !== null;
    return element("li", { "data-state": state }, [
      element("span", { class: "state-name", text: wordsOf(state) }),
      ...(process > 0 ? [element("span", { class: "soft", text: `process ${process + 1}` })] : []),
      element("span", { class: "state-time", text: isLast ? formatWhen(at, now).time : formatStay(next - at) }),
    ]);
  });
  const phases = Object.entries(timings).map(([name, ms]) => [wordsOf(name), formatMs(ms)]);
  return panel("States", [
    element("ol", { class: "states" }, rows),
    phases.length === 0 ? null : element("details", { class: "more" }, [element("summary", { text: "Phases of the start" }), pairs(phases)]),
  ].filter(Boolean));
}

function formatStay(ms) {
  return ms < 10_000 ? formatMs(ms) : formatDuration(ms);
}

/** How each process ended, what the health monitor noticed, and failures in the owner's code. */
export function renderEnd({ black_box: box, exit_reason: reason, exit_code: exitCode, error, restarts }, now) {
  const exits = box.exits.map((exit) => renderExit(exit, now, reason));
  const noticed = box.noticed.map(({ sign, action, text, at_ms: at }) =>
    element("li", {}, [element("p", {}, [code(sign), ` ${text}`]), element("p", { class: "soft", text: `${wordsOf(action)}, ${formatWhen(at, now).time}` })]));
  const failures = (box.owner_errors ?? []).map((failure) => element("li", {}, [element("pre", { class: "trace", tabindex: 0, text: describeFailure(failure) })]));
  return panel("End", [
    pairs([
      ["Reason", reason ? wordsOf(reason) : null],
      ["Exit code", exitCode === null || exitCode === undefined ? null : code(String(exitCode))],
      ["Error", error],
      ["Lost processes", restarts > 0 ? String(restarts) : null],
    ]),
    exits.length > 0 ? element("ol", { class: "exits" }, exits) : null,
    noticed.length > 0 ? element("div", {}, [element("h3", { text: "Noticed" }), element("ul", { class: "noticed" }, noticed)]) : null,
    failures.length > 0 ? element("div", {}, [element("h3", { text: "Failures in the owner's code" }), element("ul", { class: "noticed" }, failures)]) : null,
  ]);
}

function describeFailure(failure) {
  return Object.entries(failure)
    .filter(([, value]) => value !== null && value !== "")
    .map(([name, value]) => `${name}: ${typeof value === "string" ? value : JSON.stringify(value)}`)
    .join("\n");
}

function renderExit({ pid, exit_reason: reason, exit_code: exitCode, stopped_by: step, uptime_s: uptime, error, is_restarted: isRestarted, stacks }) {
  const facts = [
    pid === null ? "" : `process ${pid}`,
    `after ${formatDuration(uptime * 1000)}`,
    exitCode === null ? "" : `exit code ${exitCode}`,
    step === null ? "" : `step of the stop: ${step}`,
    isRestarted ? "another process went on" : "",
  ].filter(Boolean);
  return element("li", {}, [
    element("p", { class: "exit-reason", text: wordsOf(reason) }),
    element("p", { class: "soft", text: facts.join(", ") }),
    ...(error ? [element("p", { class: "exit-error", text: error })] : []),
    ...(stacks ? [element("details", { class: "more" }, [element("summary", { text: "Stack dump" }), element("pre", { class: "trace", tabindex: 0, text: stacks })])] : []),
  ]);
}

/** Memory and lag of the event loop over the call. */
export function renderResources({ black_box: { curve } }) {
  const lags = curve.map(({ loop_lag_ms: lag }) => lag ?? 0);
  const sizes = curve.map(({ private_bytes: bytes, pss_bytes: pss }) => bytes ?? pss ?? 0);
  if (curve.length < 2) return null;
  return panel("Process", [
    spark("Memory", sizes, formatBytes(Math.max(...sizes))),
    spark("Loop lag", lags, formatMs(Math.max(...lags))),
  ], { isOpen: false });
}

function spark(label, values, most) {
  const top = Math.max(...values) || 1;
  const points = values.map((value, place) => `${(place / (values.length - 1)) * 300},${38 - (value / top) * 34}`).join(" ");
  return element("div", { class: "spark" }, [
    element("p", {}, [element("span", { text: label }), element("span", { class: "soft", text: `at most ${most}` })]),
    svg("svg", { viewBox: "0 0 300 40", preserveAspectRatio: "none", role: "img", "aria-label": `${label}, at most ${most}` }, [svg("polyline", { points })]),
  ]);
}

/** Summary and data that a language model makes of the transcript, or how far it is with them. */
export function renderExtraction({ extraction, summary }) {
  const fields = Object.entries(extraction?.value ?? {});
  return panel("Summary", [
    summary?.text ? element("p", { class: "summary", text: summary.text }) : null,
    progress("Summary", summary),
    progress("Extraction", extraction),
    pairs(fields.map(([name, value]) => [wordsOf(name), readable(value)])),
  ]);
}

function progress(what, made) {
  if (!made || made.state === "done") return null;
  const text = made.state === "failed" ? `${what} failed: ${made.reason}` : `${what}: made after the call.`;
  return element("p", { class: "soft", text });
}

function readable(value) {
  if (typeof value === "string") return value;
  if (typeof value === "boolean") return value ? "Yes" : "No";
  return typeof value === "object" && value !== null ? element("pre", { class: "trace", tabindex: 0, text: JSON.stringify(value, null, 2) }) : String(value ?? "");
}

/** State that the owner's code keeps with the conversation. */
export function renderCallState({ call_state: state }) {
  if (Object.keys(state ?? {}).length === 0) return null;
  return panel("Call state", [element("pre", { class: "trace", tabindex: 0, text: JSON.stringify(state, null, 2) })], { isOpen: false });
}

/** The last events, without words. */
export function renderEvents({ black_box: { events, forgotten_events: forgotten } }, now) {
  if (events.length === 0) return null;
  const rows = events.map(({ type, at_ms: at, count, marks, characters }) =>
    element("li", {}, [
      element("span", { class: "event-time", text: formatWhen(at, now).time }),
      element("span", { class: "event-type", text: count > 1 ? `${type} × ${count}` : type }),
      element("span", { class: "soft event-marks", text: [...Object.entries(marks).filter(([name]) => !name.endsWith("_id")).map(([, value]) => value), characters > 0 ? `${characters} characters` : ""].filter(Boolean).join(", ") }),
    ]));
  const older = forgotten > 0 ? element("p", { class: "soft", text: `${formatCount(forgotten)} older ones are not kept.` }) : null;
  return panel("Events", [older, element("ol", { class: "events", tabindex: 0, "aria-label": "Events" }, rows)], { isOpen: false });
}

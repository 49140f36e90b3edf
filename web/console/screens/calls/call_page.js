// One call's page: its recording, transcript and timeline in step, and what is known beside them.

import { element } from "../../dom.js";
import { showNotice } from "../../notices.js";
import { Approvals, withApprovals } from "./approvals.js";
import { badgeOf } from "./call_row.js";
import { placeChildren } from "./children.js";
import { ask } from "./dialogs.js";
import { followEvents } from "./event_stream.js";
import * as facts from "./facts.js";
import { durationOf, formatCost, formatDuration, formatWhen } from "./format.js";
import { Player } from "./player.js";
import { Steering } from "./steering.js";
import { Timeline } from "./timeline.js";
import { TranscriptView } from "./transcript.js";
import { currentLine, linesOf } from "./transcript_layout.js";
import { renderTurns } from "./turns.js";

const LOOK_MS = 350; // at most so often after events
const POLL_MS = 3000; // without any

export class CallPage {
  #api;
  #id;
  #call = null;
  #entries = [];
  #timeline = null;
  #lines = [];
  #approvals = new Approvals();
  #closing = new AbortController();
  #timer = 0;
  #isReading = false;
  #isStale = false;
  #head = element("div", { class: "call-head-line" });
  #side = element("div", { class: "call-side" });
  #recording;
  #main;
  #columns;
  #steering;
  #player;
  #view;
  #transcript;
  #body = element("div", { class: "call-body", hidden: true });
  #problem = element("div", { class: "empty", role: "alert", hidden: true });
  node;

  constructor(api, id) {
    this.#api = api;
    this.#id = id;
    this.#steering = new Steering(api);
    this.#view = new Timeline({ onSeek: (ms) => this.#seek(ms), onToggle: () => this.#toggle() });
    this.#player = new Player({ source: () => this.#loadRecording(), onTime: (ms, isPlaying) => this.#handleTime(ms, isPlaying) });
    this.#transcript = new TranscriptView({ onSeek: (ms) => this.#player.playFrom(ms), onVerdict: (line, approve) => this.#judge(line, approve) });
    const recording = element("section", { class: "card recording", "aria-label": "Recording and timeline" }, [
      element("div", { class: "recording-head" }, [element("h2", { text: "Timeline" }), this.#player.node]),
      this.#view.node,
    ]);
    const words = element("div", { class: "card words-card" }, [
      element("h2", { text: "Transcript" }),
      this.#transcript.node,
    ]);
    this.#recording = recording;
    this.#main = element("div", { class: "call-main" }, [words]);
    this.#columns = element("div", { class: "call-columns" }, [this.#main, this.#side]);
    this.#body.append(this.#steering.node, this.#recording, this.#columns);
    this.#steering.node.hidden = true;
    this.node = element("article", { class: "call-page" }, [
      element("a", { class: "back", href: "#/calls" }, [element("span", { "aria-hidden": "true", text: "←" }), " All calls"]),
      this.#head,
      this.#problem,
      this.#body,
    ]);
  }

  async open() {
    await this.#read();
    if (this.#call === null || this.#call.ended_at_ms !== null) return;
    this.#steering.open(this.#call.channel_name);
    this.#timer = setInterval(() => this.#look(), POLL_MS);
    this.#follow();
  }

  close() {
    this.#closing.abort();
    clearInterval(this.#timer);
    this.#player.close();
    this.#view.close();
    this.#steering.close();
  }

  // -- reading ---------------------------------------------------------------------------------

  async #read() {
    try {
      const [call, { entries }, timeline] = await Promise.all([
        this.#api.show(this.#id),
        this.#api.transcript(this.#id),
        this.#api.timeline(this.#id),
      ]);
      if (this.#closing.signal.aborted) return;
      this.#call = call;
      this.#entries = entries;
      this.#timeline = timeline;
      this.#problem.hidden = true;
      this.#draw();
    } catch (error) {
      if (!this.#closing.signal.aborted) this.#explain(error);
    }
  }

  #explain({ status, title, message, isKeyProblem }) {
    if (isKeyProblem) clearInterval(this.#timer);
    if (this.#call !== null && status !== 404) return; // shown as of before
    this.#body.hidden = true;
    this.#head.replaceChildren();
    this.#problem.hidden = false;
    const heading = status === 404 ? "There is no such call" : (title ?? "The call cannot be shown");
    const text = status === 404 ? "It was deleted, or it never was." : message;
    this.#problem.replaceChildren(element("h1", { class: "empty-title", text: heading }), element("p", { text }));
  }

  // What comes while we read is read once more.
  async #look() {
    if (document.hidden || this.#call?.ended_at_ms !== null) return;
    if (this.#isReading) {
      this.#isStale = true;
      return;
    }
    this.#isReading = true;
    do {
      this.#isStale = false;
      await this.#read();
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    } while (this.#isStale && !this.#closing.signal.aborted);
    this.#isReading = false;
  }

  async #follow() {
    const { signal } = this.#closing;
    const open = (lastId, stop) => this.#api.events(this.#call.channel_name, lastId, stop);
    try {
      await followEvents({ open, onEvent: (event) => this.#handleEvent(event), signal });
    } catch {
      return; // without events it is looked at every few seconds
    }
    await this.#look();
  }

  #handleEvent(event) {
    if (event.agent_id !== undefined && event.agent_id !== this.#id) return; // the channel's next call
    this.#approvals.apply(event);
    this.#look();
  }

  // -- drawing ---------------------------------------------------------------------------------

  #draw() {
    const now = Date.now();
    const call = this.#call;
    const isLive = call.ended_at_ms === null;
    if (!isLive) {
      clearInterval(this.#timer);
      this.#steering.close();
    }
    this.#body.hidden = false;
    this.#steering.node.hidden = !isLive;
    // While a call goes on its words come first.
    if (isLive && this.#recording.parentNode !== this.#main) this.#main.append(this.#recording);
    if (!isLive && this.#recording.parentNode === this.#main) this.#columns.before(this.#recording);
    this.#player.node.hidden = !call.has_recording;
    this.#player.setDuration(this.#timeline.duration_ms);
    this.#view.show(this.#timeline);
    this.#drawHead(call, now);
    this.#drawLines();
    this.#drawSide(call, now);
  }

  #drawLines() {
    const { began_ms: startedAt } = this.#timeline;
    const speech = this.#timeline.has_levels ? this.#view.speech : null;
    const lines = linesOf({ entries: this.#entries, timeline: this.#timeline, speech, startedAt });
    this.#lines = withApprovals(lines, this.#approvals.asking);
    const isFollowing = this.#transcript.show(this.#lines, { canSeek: this.#call.has_recording });
    if (isFollowing && this.#call.ended_at_ms === null) this.#transcript.scrollToEnd();
  }

  #drawHead(call, now) {
    const { day, time } = formatWhen(call.started_at_ms, now);
    const cost = formatCost(call.usage?.cost);
    const facets = [`${day}, ${time}`, formatDuration(durationOf(call, now)), ...(cost === "–" ? [] : [`cost ${cost}`]), [...new Set([call.provider, call.model])].join(" ")];
    this.#head.replaceChildren(
      element("div", { class: "call-head-words" }, [
        element("h1", {}, [element("span", { text: call.channel_name }), badgeOf(call)]),
        element("p", { class: "soft", text: facets.join(" · ") }),
      ]),
      this.#renderActions(call),
    );
  }

  #renderActions(call) {
    const act = (text, click, look = "") => element("button", { class: `button small ${look}`, type: "button", text, on: { click } });
    const actions = [act("Export JSON", () => this.#save("export", `${call.call_id}.json`))];
    if (call.has_recording) actions.push(act("Export WAV", () => this.#save("recording", `${call.call_id}.wav`)));
    if (call.ended_at_ms !== null) actions.push(act("Delete…", () => this.#delete(), "danger"));
    return element("div", { class: "call-actions", role: "group", "aria-label": "Export and delete" }, actions);
  }

  // Details that somebody opened stay open, and where nothing changed nothing is made anew.
  #drawSide(call, now) {
    const speech = this.#view.speech;
    const onSeek = call.has_recording ? (ms) => this.#player.playFrom(ms) : null;
    const turns = this.#timeline.turns.length === 0 ? null : renderTurns(this.#timeline.turns, onSeek);
    const panels = [
      facts.renderExtraction(call),
      facts.panel("Latency of each turn", [turns], { look: "latency-panel" }),
      facts.renderFigures(this.#timeline, speech),
      facts.renderUsage(call),
      facts.renderDetails(call, now),
      facts.renderStates(call, now),
      facts.renderEnd(call, now),
      facts.renderResources(call),
      facts.renderCallState(call),
      facts.renderEvents(call, now),
    ].filter((one) => one !== null);
    const open = new Set([...this.#side.querySelectorAll("details[open]")].map(titleOf));
    const shown = new Map([...this.#side.children].map((node) => [node.textContent, node]));
    for (const details of panels.flatMap((one) => [...(one.matches("details") ? [one] : []), ...one.querySelectorAll("details")])) {
      if (open.has(titleOf(details))) details.open = true;
    }
    // Nor is a panel in which somebody is.
    const entered = [...this.#side.children].find((node) => node.contains(document.activeElement));
    const nodes = panels.map((node) => {
      if (entered !== undefined && titleOf(node) === titleOf(entered)) return entered;
      return shown.get(node.textContent) ?? node;
    });
    placeChildren(this.#side, nodes);
  }

  // -- playing ---------------------------------------------------------------------------------

  async #loadRecording() {
    const address = this.#api.recordingAddress(this.#id);
    if (address !== null) return { address, isOwn: false };
    return { address: URL.createObjectURL(await this.#api.file(this.#id, "recording")), isOwn: true };
  }

  #seek(ms) {
    if (this.#call.has_recording) this.#player.seek(ms);
    else this.#handleTime(ms, false);
  }

  #toggle() {
    if (this.#call.has_recording) this.#player.toggle();
  }

  #handleTime(ms, isPlaying) {
    this.#view.moveTo(ms, isPlaying);
    this.#transcript.mark(currentLine(this.#lines, ms), true);
  }

  // -- acting ----------------------------------------------------------------------------------

  async #judge({ callId }, approve) {
    if (!(await this.#steering.approve(callId, approve))) return;
    this.#approvals.settle(callId);
    this.#drawLines();
  }

  async #save(what, name) {
    try {
      const address = URL.createObjectURL(await this.#api.file(this.#id, what));
      element("a", { href: address, download: name }).click();
      setTimeout(() => URL.revokeObjectURL(address), 60_000);
    } catch ({ title, message }) {
      showNotice("export", { title: title ?? "Not exported", message, tone: "error" });
    }
  }

  async #delete() {
    const { call_id: id, person_id: person, thread_id: thread } = this.#call;
    const choices = [{ value: "call", label: "This call", hint: "Its record, transcript and recording" }];
    if (person) choices.push({ value: "person", label: `Everything of the person ${person}`, hint: "All calls, recordings and memory" });
    choices.push({ value: "thread", label: `Everything of the thread ${thread}`, hint: "All calls and recordings of this conversation" });
    const ids = { call: id, person, thread };
    const deleted = await ask({
      title: "Delete for good?",
      text: "What is deleted cannot be brought back.",
      choices,
      action: "Delete",
      run: (kind) => this.#api.delete(kind, ids[kind]),
    });
    if (deleted !== null) location.hash = "#/calls";
  }
}

function titleOf(node) {
  return node.querySelector("summary, h2").textContent;
}

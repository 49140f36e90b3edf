// What a widget shows: a button; in a call its state, captions, and buttons to mute and to hang up.

import { SHEET } from "./style.js";

const SVG = "http://www.w3.org/2000/svg";
const ICONS = {
  call: "M6.6 3.8 9 4.5l1 3.6-1.9 1.700a11.5 11.5 0 0 0 5.1 5.100l1.7-1.9 3.6 1 .7 2.400c-.3 1.9-1.8 3.1-3.7 2.900A13.5 13.5 0 0 1 3.7 7.500C3.5 5.6 4.7 4.1 6.6 3.800Z",
  microphone: "M12 3.5a3 3 0 0 1 3 3v5a3 3 0 0 1-6 0v-5a3 3 0 0 1 3-3Z M5.5 11.5a6.5 6.5 0 0 0 13 0M12 18v3",
  slash: "M4 4l16 16",
  hangUp: "M3.5 14.5c5-4.7 12-4.7 17 0l-2.3 2.6-3.6-1.6v-2.6a9 9 0 0 0-5.2 0v2.6l-3.6 1.6Z",
  send: "M12 19V5.5M5.5 12 12 5.5l6.5 6.5",
};
const LINES_SHOWN = 3;
const DEFAULT_LABEL = "Talk to us";

function make(tag, { text, on = {}, ...attributes } = {}, children = []) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text !== undefined) made.textContent = text;
  for (const [name, listener] of Object.entries(on)) made.addEventListener(name, listener);
  made.append(...children);
  return made;
}

function icon(...names) {
  const svg = document.createElementNS(SVG, "svg");
  for (const [name, value] of Object.entries({ viewBox: "0 0 24 24", "aria-hidden": "true", focusable: "false" })) {
    svg.setAttribute(name, value);
  }
  for (const name of names) {
    const path = document.createElementNS(SVG, "path");
    path.setAttribute("d", ICONS[name]);
    path.setAttribute("class", name);
    svg.append(path);
  }
  return svg;
}

export class WidgetView {
  #host;
  #handlers;
  #parts = {};
  #lines = new Map();
  #level = null;

  /** handlers: onStart, onStartWithoutMicrophone, onHangUp, onMute, onSend(text), false if it was not sent. */
  constructor(host, handlers) {
    this.#host = host;
    this.#handlers = handlers;
    const root = host.attachShadow({ mode: "open", delegatesFocus: true });
    root.adoptedStyleSheets = [SHEET];
    root.append(this.#build());
  }

  showIdle() {
    this.#level = null;
    const label = this.#host.getAttribute("label") || DEFAULT_LABEL;
    this.#parts.label.textContent = label;
    this.#parts.start.removeAttribute("aria-busy");
    this.#parts.panel.setAttribute("aria-label", label);
    this.#show("idle");
  }

  showBusy(text) {
    this.#hideProblem();
    this.#parts.state.textContent = text;
    this.#show("busy");
    this.#parts.hangUp.focus();
  }

  showCall({ isHeard }) {
    this.#lines.clear();
    this.#parts.captions.replaceChildren();
    this.#parts.mute.hidden = !isHeard;
    this.#parts.form.hidden = isHeard && !this.#host.hasAttribute("typing");
    this.#parts.captions.hidden = this.#host.getAttribute("captions") === "off";
    this.showMuted(false);
    this.#show("call");
  }

  showState(word, text) {
    this.#parts.panel.dataset.state = word;
    // Said by screen readers when it changes, so it is only set when it does.
    if (this.#parts.state.textContent !== text) this.#parts.state.textContent = text;
  }

  showMuted(isMuted) {
    this.#parts.mute.setAttribute("aria-pressed", String(isMuted));
    this.#parts.mute.title = isMuted ? "Unmute" : "Mute";
  }

  showLine({ id, role, speaker, text, isFinal, isRemoved }) {
    let line = this.#lines.get(id);
    if (isRemoved || text === "") {
      line?.remove();
      this.#lines.delete(id);
      return;
    }
    if (line === undefined) {
      line = make("p", { class: "line", "data-role": role, "data-speaker": speaker });
      this.#lines.set(id, line);
      this.#parts.captions.append(line);
      while (this.#parts.captions.children.length > LINES_SHOWN) this.#parts.captions.firstChild.remove();
    }
    line.textContent = text;
    line.dataset.final = String(isFinal);
    this.#parts.captions.scrollTop = this.#parts.captions.scrollHeight;
  }

  /** Let the ring around the state move with a level, until the call is over. */
  followLevel(read) {
    this.#level = read;
    const draw = () => {
      if (this.#level !== read) return;
      this.#parts.panel.style.setProperty("--level", read().toFixed(2));
      requestAnimationFrame(draw);
    };
    draw();
  }

  showProblem({ title = "The call cannot begin", message }, { isMicrophone }) {
    this.showIdle();
    const { problem, without } = this.#parts;
    problem.hidden = false;
    problem.querySelector("strong").textContent = title;
    problem.querySelector("span").textContent = message;
    without.hidden = !isMicrophone;
    this.#parts.start.focus();
  }

  /** The browser waits for a click before it plays. */
  offerSound(play) {
    this.#parts.sound.hidden = false;
    this.#parts.sound.onclick = () => {
      this.#parts.sound.hidden = true;
      play();
    };
  }

  #hideProblem() {
    this.#parts.problem.hidden = true;
    this.#parts.sound.hidden = true;
  }

  #show(part) {
    const { start, panel } = this.#parts;
    const hadFocus = this.#host.shadowRoot.activeElement !== null;
    start.hidden = part !== "idle";
    panel.hidden = part === "idle";
    panel.dataset.part = part;
    if (part === "idle" && hadFocus) start.focus();
  }

  #build() {
    const { onStart, onStartWithoutMicrophone, onHangUp, onMute } = this.#handlers;
    const button = (name, content, listener, attributes = {}) =>
      (this.#parts[name] = make("button", { type: "button", part: name, class: name, on: { click: listener }, ...attributes }, content));
    const label = (this.#parts.label = make("span"));
    const state = (this.#parts.state = make("p", { class: "state", role: "status", part: "state" }));
    const captions = { class: "captions", role: "log", "aria-label": "Captions", part: "captions", tabindex: "0" };
    const without = button("without", ["Continue without microphone"], onStartWithoutMicrophone);
    const problem = make("div", { class: "problem", role: "alert", part: "problem" }, [make("strong"), make("span"), without]);
    problem.hidden = true;
    this.#parts.problem = problem;
    this.#parts.captions = make("div", captions);
    this.#parts.panel = make("section", { class: "panel", part: "panel" }, [
      make("header", {}, [make("span", { class: "ring", "aria-hidden": "true" }), state]),
      this.#parts.captions,
      button("sound", ["Play the sound"], () => {}),
      this.#buildForm(),
      make("footer", {}, [
        button("mute", [icon("microphone", "slash")], onMute, { "aria-label": "Mute", "aria-pressed": "false" }),
        button("hangUp", [icon("hangUp"), "Hang up"], onHangUp),
      ]),
    ]);
    this.#parts.sound.hidden = true;
    return make("div", { class: "frame" }, [problem, button("start", [icon("call"), label], onStart), this.#parts.panel]);
  }

  #buildForm() {
    const field = make("input", { "aria-label": "Message", placeholder: "Type a message", autocomplete: "off", maxlength: "8000" });
    const submit = (event) => {
      event.preventDefault();
      const text = field.value.trim();
      if (text !== "" && this.#handlers.onSend(text)) field.value = "";
    };
    const send = make("button", { class: "send", "aria-label": "Send" }, [icon("send")]);
    return (this.#parts.form = make("form", { part: "form", on: { submit } }, [field, send]));
  }
}

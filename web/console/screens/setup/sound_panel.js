// Microphone and speaker: choice of the device, its level, and a recording that is played back.

import { LevelMeter } from "../../../client/levels.js";
import { openMicrophone } from "../../../client/microphone.js";
import { element } from "../../dom.js";
import { chosenMicrophone } from "../../microphone_choice.js";
import { Waveform } from "../../waveform.js";
import { VERDICTS, judgeEcho } from "./echo.js";
import { createPanel, createResult, testButton } from "./parts.js";

const RECORD_MS = 3000;
const ROOM_MS = 600; // of silence before it is played: the level of the room
const LOOK_MS = 50;

const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** What a microphone gives, and its level, from `open` to `close`. */
class OpenMicrophone {
  static async open() {
    const context = new AudioContext();
    try {
      return new OpenMicrophone(context, await openMicrophone(chosenMicrophone.constraints));
    } catch (error) {
      context.close();
      throw error;
    }
  }

  constructor(context, stream) {
    this.context = context;
    this.stream = stream;
    this.heard = new LevelMeter(context);
    this.heard.add("microphone", stream);
  }

  close() {
    for (const track of this.stream.getTracks()) track.stop();
    this.context.close();
  }
}

export class SoundPanel {
  #select = element("select", { id: "setup-microphone" });
  #wave = element("canvas", { class: "setup-wave", "aria-hidden": "true" });
  #meter = element("div", {
    class: "visually-hidden", role: "meter", "aria-label": "Level of the microphone", "aria-valuemin": "0", "aria-valuemax": "100", "aria-valuenow": "0",
  });
  #waveform = new Waveform(this.#wave);
  #result = createResult();
  #listen = testButton("Test microphone", "Test the microphone", () => this.#toggle());
  #echo = testButton("Record and play back", "Record 3 seconds and play them back", () => this.#testEcho());
  #open = null;
  #frame = 0;
  node = createPanel("setup-sound", "Microphone and speaker", [
    element("div", { class: "field" }, [element("label", { for: "setup-microphone", text: "Microphone" }), this.#select]),
    this.#wave,
    this.#meter,
    element("div", { class: "setup-buttons" }, [this.#listen, this.#echo]),
    this.#result.node,
    element("p", { class: "hint", text: "The choice holds for calls of this page until it is closed. Nothing that you record leaves it." }),
  ]);

  constructor() {
    this.#select.append(element("option", { value: "", text: "The browser's own choice" }));
    this.#select.addEventListener("change", () => this.#handleChoice());
  }

  show() {
    this.#waveform.draw();
  }

  /** Let the microphone go. */
  stop() {
    cancelAnimationFrame(this.#frame);
    this.#open?.close();
    this.#open = null;
    this.#listen.textContent = "Test microphone";
    this.#waveform.clear();
    this.#meter.setAttribute("aria-valuenow", "0");
  }

  async #toggle() {
    if (this.#open !== null) {
      this.stop();
      this.#result.show("");
      return;
    }
    if (await this.#start()) this.#result.show("Say something: the bars follow your voice.");
  }

  async #start() {
    try {
      this.#open = await OpenMicrophone.open();
    } catch ({ title, message }) {
      this.#result.show(`${title}. ${message}`, "bad");
      return false;
    }
    this.#listen.textContent = "Stop";
    await this.#listDevices();
    this.#follow();
    return true;
  }

  #follow() {
    if (this.#open === null) return;
    const level = this.#open.heard.read();
    this.#waveform.push(level, performance.now());
    const shown = String(Math.round(level * 100));
    if (this.#meter.getAttribute("aria-valuenow") !== shown) this.#meter.setAttribute("aria-valuenow", shown);
    this.#frame = requestAnimationFrame(() => this.#follow());
  }

  // Their names are told only once a microphone was allowed.
  async #listDevices() {
    const devices = await navigator.mediaDevices.enumerateDevices();
    const options = devices
      .filter(({ kind, deviceId }) => kind === "audioinput" && deviceId !== "default" && deviceId !== "")
      .map(({ deviceId: value, label }, place) => element("option", { value, text: label || `Microphone ${place + 1}` }));
    this.#select.replaceChildren(element("option", { value: "", text: "The browser's own choice" }), ...options);
    this.#select.value = chosenMicrophone.id;
    if (this.#select.selectedIndex < 0) this.#select.value = chosenMicrophone.id = "";
  }

  async #handleChoice() {
    chosenMicrophone.id = this.#select.value;
    if (this.#open === null) return;
    this.stop();
    await this.#start();
  }

  async #testEcho() {
    if (this.#open === null && !(await this.#start())) return;
    const open = this.#open;
    this.#result.show("Recording for three seconds: say something.");
    const sound = await record(open);
    if (open !== this.#open) return; // the screen was left, or the device changed
    this.#result.show("Playing it back: be quiet.");
    const verdict = await playBack(open, sound);
    if (open === this.#open) this.#result.show(...VERDICTS[verdict]);
  }
}

async function record({ stream, context }) {
  const recorder = new MediaRecorder(stream);
  const pieces = [];
  recorder.addEventListener("dataavailable", ({ data }) => pieces.push(data));
  const ended = new Promise((resolve) => { recorder.addEventListener("stop", resolve, { once: true }); });
  recorder.start();
  await wait(RECORD_MS);
  if (recorder.state !== "inactive") recorder.stop();
  await ended;
  return context.decodeAudioData(await new Blob(pieces, { type: recorder.mimeType }).arrayBuffer());
}

async function playBack({ context, heard }, sound) {
  const room = await collect(ROOM_MS, () => heard.read());
  const source = new AudioBufferSourceNode(context, { buffer: sound });
  const speaker = new LevelMeter(context);
  speaker.addNode("speaker", source);
  source.connect(context.destination);
  source.start();
  const look = () => ({ played: speaker.read(), heard: heard.read() });
  const samples = await collect(sound.duration * 1000, look);
  source.stop();
  return judgeEcho({ room, samples });
}

async function collect(lengthMs, look) {
  const found = [];
  const since = performance.now();
  while (performance.now() - since < lengthMs) {
    found.push(look());
    await wait(LOOK_MS);
  }
  return found;
}

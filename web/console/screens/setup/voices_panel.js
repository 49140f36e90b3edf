// The voices: those of the local model to hear, those of hosted providers by name.

import { withKey } from "../../api_key.js";
import { element } from "../../dom.js";
import { sentence } from "./providers_panel.js";
import { createPanel, createResult, row, testButton } from "./parts.js";

const ENGINES = { piper: "Piper", kokoro: "Kokoro", server: "Server at TTS_BASE_URL" };

export class VoicesPanel {
  #api;
  #local = element("ul", { class: "rows" });
  #hosted = element("dl", { class: "voices-hosted" });
  #context = null;
  #playing = null;
  node = createPanel("setup-voices", "Voices", [
    element("h3", { class: "panel-sub", text: "Of the local model" }),
    this.#local,
    element("h3", { class: "panel-sub", text: "Of hosted providers" }),
    this.#hosted,
    element("p", { class: "hint", text: "Those that the providers document; a start may name others." }),
  ]);

  constructor(api) {
    this.#api = api;
  }

  /** options: of GET /options; model: of GET /local_model. */
  show({ engines, providers }, { voice: engine, settings }) {
    const names = [...new Set([engine, ...engines.voices])];
    // A server of voices is of use only where there is one.
    const usable = names.filter((name) => name !== "server" || name === engine || settings.TTS_BASE_URL);
    this.#local.replaceChildren(...usable.map((name) => this.#render(name, name === engine, settings.TTS_VOICE)));
    const hosted = groupByVoices(providers);
    this.#hosted.replaceChildren(
      ...hosted.map(([voices, owners]) => element("div", {}, [element("dt", { text: owners.join(", ") }), element("dd", { text: voices })])),
    );
  }

  /** Be silent. */
  stop() {
    this.#playing?.stop();
    this.#playing = null;
  }

  #render(engine, isDefault, voiceName) {
    const result = createResult();
    const name = ENGINES[engine] ?? engine;
    const field = element("input", {
      class: "voice-name", maxlength: "200", autocomplete: "off", spellcheck: "false", autocapitalize: "none",
      placeholder: isDefault && voiceName ? voiceName : "default voice", "aria-label": `Voice of ${name}`,
    });
    const play = testButton("Play", `Play a voice of ${name}`, () => this.#play(isDefault ? null : engine, field.value.trim(), result));
    const text = isDefault ? "The one of the settings (TTS_ENGINE)." : "A start chooses it by cascade.voice.";
    const controls = element("div", { class: "voice-controls" }, [field, play]);
    return row(name, { lines: [[text, "row-facts"], controls, result.node] });
  }

  async #play(engine, voiceName, result) {
    this.stop();
    // Made inside the click, so that the browser lets it sound.
    this.#context ??= new AudioContext();
    result.show("Asking for a sample…");
    try {
      const body = { ...(engine === null ? {} : { engine }), ...(voiceName === "" ? {} : { name: voiceName }) };
      const response = await withKey(() => this.#api.open("local_model/voice_sample", { body }));
      const sound = await this.#context.decodeAudioData(await response.arrayBuffer());
      this.#playing = new AudioBufferSourceNode(this.#context, { buffer: sound });
      this.#playing.connect(this.#context.destination);
      this.#playing.start();
      result.show(`Playing ${sound.duration.toFixed(1)} s.`, "ok");
    } catch ({ message }) {
      result.show(sentence(message), "bad");
    }
  }
}

/** Lists of voices with the providers that have them: `[["alloy, ash", ["openai", "azure"]], ...]`. Pure. */
export function groupByVoices(providers) {
  const groups = new Map();
  for (const { name, voices } of providers) {
    if (voices.length === 0) continue;
    const text = voices.join(", ");
    groups.set(text, [...(groups.get(text) ?? []), name]);
  }
  return [...groups];
}

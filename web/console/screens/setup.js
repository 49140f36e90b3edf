// The screen "Setup": what is configured, and a test of each part.

import { withKey } from "../api_key.js";
import { element } from "../dom.js";
import { hideNotice, showNotice } from "../notices.js";
import { AppPanel } from "./setup/app_panel.js";
import { NetworkPanel } from "./setup/network_panel.js";
import { ProvidersPanel } from "./setup/providers_panel.js";
import { SoundPanel } from "./setup/sound_panel.js";
import { ToolsPanel } from "./setup/tools_panel.js";
import { VoicesPanel } from "./setup/voices_panel.js";

class SetupScreen {
  #api;
  #providers;
  #voices;
  #app = new AppPanel();
  #tools;
  #sound = new SoundPanel();
  #network;

  constructor(root, api) {
    this.#api = api;
    this.#providers = new ProvidersPanel(api);
    this.#voices = new VoicesPanel(api);
    this.#tools = new ToolsPanel(api);
    this.#network = new NetworkPanel(api);
    const again = element("button", { class: "button small", type: "button", text: "Read again", on: { click: () => this.show() } });
    const note = "What this server's settings offer. Keys stay on the server; nothing is stored in this browser.";
    root.append(
      element("div", { class: "panel-head" }, [
        element("div", {}, [element("h1", { text: "Setup" }), element("p", { class: "screen-note", text: note })]),
        again,
      ]),
      element("div", { class: "setup-parts" }, [
        element("div", { class: "setup-column" }, [this.#providers.node, this.#sound.node, this.#network.node]),
        element("div", { class: "setup-column" }, [this.#app.node, this.#tools.node, this.#voices.node]),
      ]),
    );
  }

  async show() {
    hideNotice("setup");
    this.#sound.show();
    try {
      const [options, definitions, model] = await withKey(() =>
        Promise.all([this.#api.request("GET", "options"), this.#api.listDefinitions(), this.#api.showLocalModel()]));
      this.#providers.show(options.providers);
      this.#voices.show(options, model);
      this.#app.show(definitions);
      this.#tools.show(options);
      this.#network.show(options);
    } catch ({ message, details = [] }) {
      const again = { label: "Try again", run: () => this.show() };
      showNotice("setup", { title: "The settings cannot be read", message, details, tone: "warn", actions: [again] });
    }
  }

  hide() {
    hideNotice("setup");
    this.#sound.stop();
    this.#voices.stop();
  }
}

/** Make the screen in `root`; api: of `../../client/api.js`. Answers `{show(place), hide()}`. */
export function mount(root, { api }) {
  return new SetupScreen(root, api);
}

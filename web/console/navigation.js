// The screens of the page: shows the one that the address names, and loads it when it is first wanted.

import { byId } from "./dom.js";
import { hideNotice, showNotice } from "./notices.js";
import { Router, TALK } from "./router.js";

const TITLES = { [TALK]: "Parley", calls: "Calls · Parley", now: "Now · Parley", setup: "Setup · Parley" };
const LOADERS = {
  calls: () => import("./screens/calls.js"),
  now: () => import("./screens/now.js"),
  setup: () => import("./screens/setup.js"),
};

export class Navigation {
  #api;
  #onTalk;
  #screens = new Map(); // by name: a promise of the mounted screen
  #shown = null; // {name, screen}
  #steps = Promise.resolve(); // one place after the other, though a screen may take time to load

  /** onTalk(query): the screen of calls with an agent is shown. */
  constructor({ api, onTalk }) {
    this.#api = api;
    this.#onTalk = onTalk;
  }

  start() {
    new Router((place, isFirst) => {
      this.#mark(place.screen, isFirst);
      if (place.screen === TALK) this.#onTalk(place.query);
      this.#steps = this.#steps.then(() => this.#enter(place));
    }).start();
  }

  #mark(name, isFirst) {
    const isOther = document.body.dataset.screen !== name;
    document.body.dataset.screen = name;
    document.title = TITLES[name];
    for (const screen of [TALK, ...Object.keys(LOADERS)]) {
      byId(`${screen}-screen`).hidden = screen !== name;
      const link = byId(`nav-${screen}`);
      if (screen === name) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    if (!isFirst && isOther) byId("main").focus({ preventScroll: true });
  }

  async #enter(place) {
    const { screen: name } = place;
    if (this.#shown !== null && this.#shown.name !== name) {
      this.#shown.screen.hide();
      this.#shown = null;
    }
    if (name === TALK) return;
    hideNotice("screen");
    try {
      const screen = await this.#load(name);
      // Another screen may be wanted by now; its own step follows.
      if (document.body.dataset.screen !== name) return;
      this.#shown = { name, screen };
      await screen.show(place);
    } catch (error) {
      const actions = [{ label: "Load the page again", run: () => location.reload() }];
      showNotice("screen", { title: "This screen cannot be shown", message: error.message, tone: "error", actions });
    }
  }

  #load(name) {
    if (!this.#screens.has(name)) {
      const loaded = LOADERS[name]().then(async ({ mount }) => mount(byId(`${name}-screen`), { api: this.#api }));
      this.#screens.set(name, loaded);
      loaded.catch(() => this.#screens.delete(name));
    }
    return this.#screens.get(name);
  }
}

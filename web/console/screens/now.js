// The screen "Now": what the server does at this moment, kept up to date while it is shown.

import { withKey } from "../api_key.js";
import { element } from "../dom.js";
import { hideNotice, showNotice } from "../notices.js";
import { askToDrain } from "./drain_dialog.js";
import { count, duration } from "./figures.js";
import { KeyedList, setText } from "./live_dom.js";
import { AgentList } from "./now_agents.js";
import { ProviderList } from "./now_providers.js";
import { Tiles } from "./now_tiles.js";
import { Poll } from "./poll.js";

const EVERY_MS = 2000;

class NowScreen {
  #api;
  #headline = element("p", { class: "screen-note" });
  #drain = element("button", { class: "button small danger", type: "button", text: "Drain", hidden: true });
  #messages = element("ul", { class: "messages", "aria-label": "Problems and warnings" });
  #messageList = new KeyedList(this.#messages, createMessage);
  #tiles = new Tiles();
  #providers = new ProviderList();
  #agents;
  #serverPart;
  #poll = new Poll(() => this.#read(), EVERY_MS);
  #isDraining = false;

  constructor(root, api) {
    this.#api = api;
    this.#agents = new AgentList({ onStop: (channel) => this.#stop(channel) });
    this.#serverPart = element("div", { class: "screen-parts", hidden: true }, [this.#tiles.node, this.#providers.node]);
    this.#drain.addEventListener("click", () => this.#askToDrain());
    const head = element("div", { class: "panel-head" }, [
      element("div", {}, [element("h1", { text: "Now" }), this.#headline]),
      this.#drain,
    ]);
    root.append(head, this.#messages, element("div", { class: "screen-parts" }, [this.#serverPart, this.#agents.node]));
  }

  show() {
    this.#poll.start();
  }

  hide() {
    this.#poll.stop();
    hideNotice("now");
  }

  async #read() {
    try {
      this.#render(await withKey(() => this.#api.request("GET", "status")));
      hideNotice("now");
    } catch (error) {
      if (error.status === 403) await this.#readAgentsAlone();
      else this.#explain(error);
    }
  }

  // A key that is no admin's sees the agents of its own team.
  async #readAgentsAlone() {
    try {
      const agents = await withKey(() => this.#api.listAgents());
      setText(this.#headline, "This API key shows its own agents only.");
      this.#serverPart.hidden = this.#drain.hidden = this.#messages.hidden = true;
      this.#agents.show(agents, Date.now());
    } catch (error) {
      this.#explain(error);
    }
  }

  #explain(error) {
    if (error.isKeyProblem) this.#poll.stop(); // whoever closes the dialog is not asked again
    const again = { label: "Try again", run: () => this.#poll.start() };
    showNotice("now", { title: "The figures cannot be read", message: error.message, tone: "warn", actions: [again] });
  }

  #render(status) {
    const { readiness, agents, at_ms: atMs } = status;
    this.#serverPart.hidden = this.#drain.hidden = false;
    this.#isDraining = readiness.is_draining;
    setText(this.#headline, describe(status));
    setText(this.#drain, this.#isDraining ? "Draining" : "Drain");
    this.#drain.disabled = this.#isDraining;
    const messages = [
      ...readiness.problems.map((text) => ({ text, tone: "error" })),
      ...readiness.warnings.map((text) => ({ text, tone: "warn" })),
    ];
    this.#messageList.show(messages, ({ text, tone }) => `${tone} ${text}`);
    this.#messages.hidden = messages.length === 0;
    this.#tiles.show(status);
    this.#providers.show(status.providers, atMs);
    this.#agents.show(agents, atMs);
  }

  async #stop(channel) {
    try {
      await withKey(() => this.#api.stopAgent(channel));
    } catch ({ status, message, details = [] }) {
      // 404: it has ended meanwhile, which is what was wanted.
      if (status !== 404) showNotice("stop", { title: "The agent did not stop", message, details, tone: "error" });
    }
    this.#poll.again();
  }

  async #askToDrain() {
    const deadlineS = await askToDrain();
    if (deadlineS === null) return;
    try {
      const body = deadlineS === undefined ? {} : { deadline_s: deadlineS };
      await withKey(() => this.#api.request("POST", "drain", body));
    } catch ({ message, details = [] }) {
      showNotice("drain", { title: "The server does not drain", message, details, tone: "error" });
    }
    this.#poll.again();
  }
}

function describe({ version, uptime_s: uptimeS, readiness, agents }) {
  const ready = readiness.status === "ready" ? "Ready" : "Not ready";
  const state = readiness.is_draining ? "Draining: no new agents are started" : ready;
  return [state, count(agents.length, "agent"), `up ${duration(uptimeS)}`, `version ${version}`].join(" · ");
}

function createMessage({ text, tone }) {
  const label = tone === "error" ? "Problem: " : "Warning: ";
  const node = element("li", { class: "message", "data-tone": tone }, [
    element("span", { class: "visually-hidden", text: label }),
    element("span", { text }),
  ]);
  return { node, update() {} };
}

/** Make the screen in `root`; api: of `../../client/api.js`. Answers `{show(place), hide()}`. */
export function mount(root, { api }) {
  return new NowScreen(root, api);
}

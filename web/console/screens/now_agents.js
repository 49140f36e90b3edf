// The live agents with their figures, each with a way to its call and a way to stop it.

import { element } from "../dom.js";
import { formatHash } from "../router.js";
import { ProcessorUse, STATES, count, duration, latency, memory, percent, toneOf } from "./figures.js";
import { KeyedList, setAttribute, setText } from "./live_dom.js";

const SLOW_MS = 1500;
const LOSS_PERCENT = 3;

/** Names of the figures, how each is read, and when it is worth a look. */
const FIGURES = [
  ["Last turn", ({ turns }) => latency(turns?.last_ms), ({ turns }) => turns?.last_ms > SLOW_MS],
  ["Median turn", ({ turns }) => latency(turns?.median_ms), ({ turns }) => turns?.median_ms > SLOW_MS],
  ["Packet loss", ({ loss_percent: loss }) => percent(loss), ({ loss_percent: loss }) => loss > LOSS_PERCENT],
  ["Processor", (_agent, share) => percent(share), (_agent, share) => share > 50],
  ["Memory", ({ private_bytes: bytes }) => memory(bytes), () => false],
  ["Restarts", ({ restarts }) => String(restarts), ({ restarts }) => restarts > 0],
  ["Up", ({ uptime_s: seconds }) => duration(seconds), () => false],
];

export class AgentList {
  node;
  #heading = element("h2", { id: "now-agents-heading", text: "Agents" });
  #empty = element("p", { class: "screen-empty", text: "No agent runs. Start one under Talk, or by POST /start_agent." });
  #list;
  #use = new ProcessorUse();
  #shares = new Map();

  /** onStop(channel): a promise; its button waits for it. */
  constructor({ onStop }) {
    const items = element("ul", { class: "agents" });
    this.#list = new KeyedList(items, (agent) => createAgent(agent, onStop));
    this.node = element("section", { class: "panel", "aria-labelledby": "now-agents-heading" }, [this.#heading, this.#empty, items]);
  }

  show(agents, atMs) {
    this.#shares = this.#use.update(agents, atMs);
    setText(this.#heading, agents.length === 0 ? "Agents" : count(agents.length, "agent"));
    this.#empty.hidden = agents.length > 0;
    const items = agents.map((agent) => ({ ...agent, share: this.#shares.get(agent.agent_id) }));
    this.#list.show(items, ({ agent_id: id }) => id);
  }
}

function createAgent({ agent_id: id, channel_name: channel }, onStop) {
  const state = element("span", { class: "agent-state" });
  const model = element("span", { class: "agent-model" });
  const values = FIGURES.map(() => element("dd"));
  const figures = FIGURES.map(([name], place) => element("div", {}, [element("dt", { text: name }), values[place]]));
  const stop = element("button", { class: "button small", type: "button", text: "Stop", "aria-label": `Stop the agent of ${channel}` });
  stop.addEventListener("click", async () => {
    stop.disabled = true;
    stop.textContent = "Stopping";
    await onStop(channel);
    stop.disabled = false;
    stop.textContent = "Stop";
  });
  const node = element("li", { class: "agent-row" }, [
    element("div", { class: "agent-head" }, [
      element("a", { class: "agent-link", href: formatHash("calls", [id]), text: channel, title: "Open its call" }),
      state,
      model,
    ]),
    element("dl", { class: "agent-figures" }, figures),
    stop,
  ]);
  return {
    node,
    update(agent) {
      setAttribute(node, "data-tone", toneOf(agent.state));
      setText(state, STATES[agent.state] ?? agent.state);
      setText(model, describeModel(agent));
      FIGURES.forEach(([, read, isBad], place) => {
        setText(values[place], read(agent, agent.share));
        setAttribute(values[place], "data-tone", isBad(agent, agent.share) ? "warn" : null);
      });
    },
  };
}

function describeModel({ definition, name, provider, model }) {
  return [definition || name, `${provider} ${model}`].filter(Boolean).join(" · ");
}

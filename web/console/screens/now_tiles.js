// Room for the next start, the warm pool, and the parts beside the agents.

import { element } from "../dom.js";
import { count, mebibytes, percent } from "./figures.js";
import { setAttribute, setText } from "./live_dom.js";

const MODEL_TONES = { ready: "ok", external: "ok", off: "idle", starting: "busy", backoff: "busy" };

/** One tile: title, value, explanation, and how it looks. */
function createTile(title) {
  const value = element("p", { class: "tile-value" });
  const note = element("p", { class: "tile-note" });
  const node = element("section", { class: "tile", "aria-label": title }, [element("h2", { class: "tile-title", text: title }), value, note]);
  return {
    node,
    show({ value: text, note: more = "", tone = "idle" }) {
      setText(value, text);
      setText(note, more);
      setAttribute(node, "data-tone", tone);
    },
  };
}

export class Tiles {
  #tiles = {
    room: createTile("Next start"),
    processor: createTile("Processors"),
    memory: createTile("Memory"),
    pool: createTile("Warm pool"),
    model: createTile("Local model"),
    store: createTile("Store"),
    webhooks: createTile("Webhooks"),
  };
  node = element("div", { class: "tiles" }, Object.values(this.#tiles).map(({ node }) => node));

  show({ capacity, pool, readiness, store, webhooks }) {
    this.#tiles.room.show(roomOf(capacity, readiness));
    this.#tiles.processor.show(processorOf(capacity));
    this.#tiles.memory.show(memoryOf(capacity));
    this.#tiles.pool.show(poolOf(pool));
    this.#tiles.model.show(modelOf(readiness));
    this.#tiles.store.show(storeOf(store));
    this.#tiles.webhooks.show(webhooksOf(webhooks));
  }
}

/** Whether the next start would be accepted, and why not. Pure, as all of these. */
export function roomOf({ has_room: hasRoom, text, agents, max_agents: most }, { is_draining: isDraining, problems }) {
  if (isDraining) return { value: "Refused", note: "the server is draining", tone: "bad" };
  if (!hasRoom) return { value: "Refused", note: text, tone: "bad" };
  if (problems.length > 0) return { value: "Refused", note: "see the problems above", tone: "bad" };
  const limit = most === null ? "no limit of agents is set" : `${agents} of ${count(most, "agent")} run`;
  return { value: "Accepted", note: limit, tone: "ok" };
}

export function processorOf({ cpu_percent: used, max_cpu_percent: most, cores, reason }) {
  const limit = most === null ? "no limit" : `starts may be refused from ${percent(most)}`;
  // Few agents are admitted beside any load.
  const pressed = reason === "cpu" ? "bad" : "busy";
  const tone = most !== null && used >= most ? pressed : "ok";
  return { value: percent(used), note: `of ${count(cores, "core")}; ${limit}`, tone };
}

export function memoryOf({ free_mib: free, total_mib: total, min_free_mib: least }) {
  const note = `of ${mebibytes(total)}; ${mebibytes(least)} must stay free`;
  return { value: `${mebibytes(free)} free`, note, tone: free > 2 * least ? "ok" : "bad" };
}

export function poolOf({ idle, size, taken, missed, died }) {
  if (size === 0) return { value: "Off", note: "every start forks a process", tone: "idle" };
  const starts = taken + missed;
  const used = starts === 0 ? "not used yet" : `${taken} of ${count(starts, "start")} found one`;
  const note = died > 0 ? `${used}; ${died} died idle` : used;
  return { value: `${idle} of ${size} warm`, note, tone: idle > 0 ? "ok" : "busy" };
}

export function modelOf({ local_model: state, language_model: language }) {
  const note = language === "rules" ? "answers by rules" : `language model: ${language}`;
  return { value: state, note: state === "off" ? "not needed so far" : note, tone: MODEL_TONES[state] ?? "bad" };
}

export function storeOf({ state, waiting, given_up: lost }) {
  const note = lost > 0 ? `${count(lost, "change")} lost` : `${count(waiting, "change")} waiting`;
  return { value: state, note, tone: state === "ready" && lost === 0 ? "ok" : "bad" };
}

export function webhooksOf({ is_configured: isOn, waiting, dropped }) {
  if (!isOn) return { value: "Off", note: "WEBHOOK_URL is not set", tone: "idle" };
  const note = dropped > 0 ? `${count(dropped, "delivery", "deliveries")} given up` : "none given up";
  return { value: `${waiting} waiting`, note, tone: dropped > 0 ? "bad" : "ok" };
}

// A check of the ways between this page and the server.

import { withKey } from "../../api_key.js";
import { element } from "../../dom.js";
import { latency } from "../figures.js";
import { checkLoopback, checkRoom, gatherCandidates, judgeCandidates } from "./network_check.js";
import { badge, createPanel, createResult, row, testButton } from "./parts.js";

export class NetworkPanel {
  #api;
  #options = { has_stun: false, has_turn: false };
  #rows = element("ul", { class: "rows" });
  #steps = { room: createResult(), candidates: createResult(), media: createResult() };
  #summary = element("p", { class: "row-facts" });
  node;

  constructor(api) {
    this.#api = api;
    const check = testButton("Check the network", "Check the network", () => this.#check());
    this.#rows.append(
      row("Room", { lines: [["The socket that joins a call.", "row-facts"], this.#steps.room.node] }),
      row("Addresses", { lines: [["What the browser finds with the server's STUN and TURN.", "row-facts"], this.#steps.candidates.node] }),
      row("Media", { lines: [["A word over WebRTC to this page and back.", "row-facts"], this.#steps.media.node] }),
    );
    this.node = createPanel("setup-network", "Network", [this.#summary, this.#rows, element("div", { class: "setup-buttons" }, [check])]);
  }

  /** As `GET /options` answers. */
  show(options) {
    this.#options = options;
    const { has_stun: hasStun, has_turn: hasTurn, is_relay_only: isRelayOnly } = options;
    const has = (name, isSet) => badge(isSet ? `${name} set` : `No ${name}`, isSet ? "ok" : "idle");
    const only = isRelayOnly ? [badge("Relay only")] : [];
    this.#summary.replaceChildren(has("STUN", hasStun), " ", has("TURN", hasTurn), " ", ...only);
  }

  async #check() {
    const { room, candidates, media } = this.#steps;
    for (const step of Object.values(this.#steps)) step.show("");
    room.show("Joining a room…");
    const joined = await this.#join(room);
    if (joined === null) return;
    candidates.show("Looking for addresses…");
    const { has_stun: hasStun, has_turn: hasTurn } = this.#options;
    const gathered = await gatherCandidates(joined.iceServers);
    candidates.show(...judgeCandidates(gathered, { hasStun, hasTurn }));
    media.show("Connecting…");
    const tookMs = await checkLoopback(joined.iceServers, { isRelayOnly: joined.isRelayOnly });
    const way = joined.isRelayOnly ? " through TURN" : "";
    if (tookMs === null) media.show(`Nothing came back${way}. A firewall may hold UDP back: docs/network.md.`, "bad");
    else media.show(`It came back${way} after ${latency(tookMs)}. The agent's own address is tested by a call.`, "ok");
  }

  async #join(result) {
    try {
      const joined = await checkRoom((channel) => withKey(() => this.#api.mintToken(channel, undefined)));
      result.show(`Joined after ${latency(joined.tookMs)}.`, "ok");
      return joined;
    } catch ({ title = "No connection", message }) {
      result.show(`${title}. ${message}`, "bad");
      return null;
    }
  }
}

// Tool sets of the server, MCP servers and skills.

import { withKey } from "../../api_key.js";
import { element } from "../../dom.js";
import { latency } from "../figures.js";
import { badge, createPanel, createResult, row, testButton } from "./parts.js";
import { sentence } from "./providers_panel.js";

const STATES = {
  found: ["Program found", "ok"],
  not_found: ["Program not found", "bad"],
  configured: ["By address", "idle"],
};

export class ToolsPanel {
  #api;
  #rows = element("ul", { class: "rows" });
  node = createPanel("setup-tools", "Tools", [this.#rows]);

  constructor(api) {
    this.#api = api;
  }

  /** As `GET /options` answers. */
  show({ toolsets, mcp_servers: servers, skills }) {
    const own = toolsets.filter(({ tools }) => tools.length > 0);
    this.#rows.replaceChildren(
      ...own.map(({ name, tools }) => row(name, { badges: [badge("Tool set")], lines: [[tools.join(", "), "row-facts"]] })),
      ...servers.map((server) => this.#render(server)),
      ...(servers.length === 0 ? [row("MCP servers", { lines: [["None: MCP_SERVERS is not set.", "row-facts"]] })] : []),
      row("Skills", { lines: [[skills.length > 0 ? skills.join(", ") : "None: SKILLS_DIR is not set, or is empty.", "row-facts"]] }),
    );
  }

  #render({ name, state }) {
    const [text, tone] = STATES[state];
    const result = createResult();
    const button = state === "not_found" ? null : testButton("Test", `Test mcp:${name}`, () => this.#check(name, result));
    const notFound = "The program is not on this machine: check MCP_SERVERS and PATH, and restart the server.";
    const line = state === "not_found"
      ? [notFound, "row-problem"]
      : ["It is opened when a call begins; a call whose server fails does not start.", "row-facts"];
    return row(`mcp:${name}`, { badges: [badge("MCP server"), badge(text, tone)], button, lines: [line, result.node] });
  }

  async #check(name, result) {
    result.show("Opening it…");
    try {
      const path = `mcp_servers/${encodeURIComponent(name)}/check`;
      const { is_ok: isOk, text, tools, took_ms: tookMs } = await withKey(() => this.#api.request("POST", path));
      const told = tools.length > 0 ? tools.join(", ") : "it has no tools";
      result.show(isOk ? `It works, after ${latency(tookMs)}: ${told}.` : sentence(text), isOk ? "ok" : "bad");
    } catch ({ status, message }) {
      result.show(status === 403 ? "Only an admin key of no team may test MCP servers." : sentence(message), "bad");
    }
  }
}

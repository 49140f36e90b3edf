// The agents of the owner's app, and why its present version cannot be loaded.

import { element } from "../../dom.js";
import { count } from "../figures.js";
import { badge, createPanel, row } from "./parts.js";

const COMMAND = "python -m main server --app agents.py";

export class AppPanel {
  #state = element("p", { class: "row-facts" });
  #problems = element("ul", { class: "messages", "aria-label": "Problems of the app" });
  #agents = element("ul", { class: "rows" });
  node = createPanel("setup-app", "Agents of your app", [this.#state, this.#problems, this.#agents]);

  /** As `GET /agents/definitions` answers. */
  show(definitions) {
    const { agents, problems } = definitions;
    const { app } = definitions;
    if (app === null) this.#state.replaceChildren("No app is set: name a file of agents by APP, or by ", element("code", { text: COMMAND }), ".");
    else this.#state.textContent = describeApp(definitions);
    this.#problems.hidden = problems.length === 0;
    this.#problems.replaceChildren(...problems.map((problem) => renderProblem(problem, definitions)));
    this.#agents.replaceChildren(...agents.map(renderAgent));
  }
}

/** Where the agents come from. Pure, as the next one. */
export function describeApp({ app, agents, is_watched: isWatched, loads }) {
  const watched = isWatched ? "loaded again when its files change" : "read at the server's start only";
  return `${app}: ${count(agents.length, "agent")}, loaded ${count(loads, "time")}, ${watched}.`;
}

export function remedy({ agents, is_watched: isWatched }) {
  const meanwhile = agents.length > 0 ? "The last good version goes on meanwhile." : "None of its agents can start.";
  const mend = isWatched ? "Mend the file and save it." : "Mend the file and restart the server.";
  return `${mend} ${meanwhile}`;
}

function renderProblem({ text, file, line }, definitions) {
  const place = file === "" ? [] : [element("code", { class: "message-place", text: `${file}:${line}` })];
  return element("li", { class: "message", "data-tone": "error" }, [
    ...place,
    element("p", { text }),
    element("p", { class: "row-facts", text: remedy(definitions) }),
  ]);
}

function renderAgent(agent) {
  const { name, display_name: shown, description, provider, model, file, line, members } = agent;
  const parts = [provider, model].filter(Boolean).join(" ");
  const facts = [shown === name ? "" : shown, parts || "provider of the settings", ...countsOf(agent)].filter(Boolean);
  const lines = [[facts.join(" · "), "row-facts"], [`${file}:${line}`, "row-facts row-place"]];
  const badges = members.length > 0 ? [badge(`Chat room of ${members.length}`)] : [];
  return row(name, { badges, lines: description === "" ? lines : [[description, ""], ...lines] });
}

function countsOf({ tools, toolsets, mcp_servers: servers, skills, hooks, guardrails, handoffs }) {
  return [
    [tools, "tool"], [toolsets, "tool set"], [servers, "MCP server"], [skills, "skill"], [hooks, "hook"],
    [guardrails, "guardrail"], [handoffs, "hand-over"],
  ].map(([list, word]) => (list.length > 0 ? count(list.length, word) : ""));
}

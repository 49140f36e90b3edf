// Tool calls of a live call that wait for somebody's word. Pure.

/** Which calls ask now: events in, `{id, name, input}` by id out. */
export class Approvals {
  #asking = new Map();

  get asking() {
    return this.#asking;
  }

  /** Answers whether the event changed anything. */
  apply(event) {
    if (event.type === "agent_tool_approval_required") {
      this.#asking.set(event.tool_use.id, event.tool_use);
      return true;
    }
    if (event.type === "agent_response_tool_result") return this.settle(event.tool_result.id);
    return false;
  }

  settle(id) {
    return this.#asking.delete(id);
  }
}

/** Lines with the calls that ask marked so; one that is not written down yet stands at the end. */
export function withApprovals(lines, asking) {
  const known = new Set();
  const marked = lines.map((line) => {
    if (line.kind !== "tool" || !asking.has(line.callId)) return line;
    known.add(line.callId);
    return { ...line, state: "asking" };
  });
  for (const [id, { name, input }] of asking) {
    if (!known.has(id)) marked.push({ key: `asking ${id}`, kind: "tool", callId: id, name, input, output: null, state: "asking", at: null, end: null });
  }
  return marked;
}

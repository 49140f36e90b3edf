// Whether the agents listen, think or speak, told from their events. Pure: no DOM, no clock.

/** Events of one agent after another; `word` is where they have led. */
export class TurnState {
  #replies = new Set();
  #tools = new Set();
  #items = new Map(); // those whose words have come, until the last sample has gone
  #cut = null; // the reply that was interrupted last

  /** "listening", "thinking" or "speaking". */
  get word() {
    if (this.#items.size > 0) return "speaking";
    return this.#replies.size + this.#tools.size > 0 ? "thinking" : "listening";
  }

  /** The agents are others, or none. */
  reset() {
    for (const kept of [this.#replies, this.#tools, this.#items]) kept.clear();
  }

  apply(event) {
    const { response_id: reply, item_id: item } = event;
    switch (event.type) {
      case "agent_ready": return this.reset();
      case "agent_response_created": return this.#replies.add(reply);
      case "agent_response_audio_transcript_delta": return this.#handleWords(item, reply);
      case "agent_response_audio_done": return this.#note(item, { hasAudio: true });
      case "agent_playout_done": return this.#items.delete(item);
      case "agent_interrupted": return this.#forget(reply);
      case "agent_response_done": return this.#handleDone(reply);
      case "agent_response_tool_use_done": return this.#tools.add(event.tool_use.id);
      case "agent_response_tool_result": return this.#tools.delete(event.tool_result.id);
      default: return undefined;
    }
  }

  // Words of a reply that was cut may still come: nothing of it will be heard.
  #handleWords(item, reply) {
    if (reply !== this.#cut && !this.#items.has(item)) this.#items.set(item, { reply, hasAudio: false });
  }

  #note(item, fields) {
    const known = this.#items.get(item);
    if (known !== undefined) Object.assign(known, fields);
  }

  // What is written only is never played.
  #handleDone(reply) {
    this.#replies.delete(reply);
    for (const [item, known] of this.#items) if (known.reply === reply && !known.hasAudio) this.#items.delete(item);
  }

  #forget(reply) {
    this.#cut = reply;
    this.#replies.delete(reply);
    for (const [item, known] of this.#items) if (known.reply === reply) this.#items.delete(item);
  }
}

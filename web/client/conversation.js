// The conversation as a list of entries, built from server events. Pure: no DOM, no clock.
//
// entry: {key, kind, text, state, ...}
//   kind "user":  state "hearing" until the words are final, then "done"; speaker
//   kind "agent": state "speaking", "done" or "interrupted" (then text is what was heard); speaker;
//                 heard: how many characters (code points) of text were heard, where the agent tells
//   kind "tool":  state "asking" (whether it may), "calling", "waiting" (for this page's answer), "refused", "done"
//                 or "failed"; name, input, output, serverLabel (of a tool that the speech service runs)
//   kind "chat":  from; kind "note": tone

export class Conversation {
  #entries = new Map();
  #count = 0;
  #isProgressTold = false;

  /** Who "user" entries are by: an agent hears all people as one. */
  userLabel = "You";

  /** What is heard of a reply before anything is told: nothing, if the agent tells. */
  get heardAtFirst() {
    return this.#isProgressTold ? 0 : undefined;
  }

  noteProgress() {
    this.#isProgressTold = true;
  }

  /** @returns {{changed: object[], removed: object[]}} what the event did. */
  apply(event) {
    const handle = HANDLERS[event.type];
    const changes = { changed: [], removed: [] };
    if (handle !== undefined) handle(this, event, changes);
    return changes;
  }

  get entries() {
    return [...this.#entries.values()];
  }

  get(key) {
    return this.#entries.get(key);
  }

  add(fields) {
    this.#count += 1;
    const entry = { key: `own-${this.#count}`, text: "", state: "done", ...fields };
    this.#entries.set(entry.key, entry);
    return entry;
  }

  /** Somebody allowed or refused a tool call that asked; like `apply`. */
  settle(entry, isAllowed) {
    const allowed = entry.serverLabel ? "done" : entry.stateIfAllowed;
    return { changed: [Object.assign(entry, { state: isAllowed ? allowed : "refused" })], removed: [] };
  }

  remove(key) {
    const entry = this.#entries.get(key);
    this.#entries.delete(key);
    return entry;
  }
}

function find(conversation, kind, id, fields = {}) {
  const key = `${kind} ${id}`;
  return conversation.get(key) ?? conversation.add({ key, kind, ...fields });
}

function change(entry, fields, changes) {
  changes.changed.push(Object.assign(entry, fields));
}

function findWords(conversation, event) {
  return find(conversation, "user", event.item_id, { state: "hearing", speaker: conversation.userLabel });
}

function hear(conversation, event, changes) {
  changes.changed.push(findWords(conversation, event));
}

function hearDelta(conversation, event, changes) {
  const entry = findWords(conversation, event);
  change(entry, { text: entry.text + event.delta }, changes);
}

function hearDone(conversation, event, changes) {
  if (event.is_posted) return; // The room's chat shows it.
  const entry = findWords(conversation, event);
  const text = event.transcript.trim();
  if (text === "") changes.removed.push(conversation.remove(entry.key));
  else change(entry, { text, state: "done" }, changes);
}

function findReply(conversation, event) {
  const fields = { state: "speaking", speaker: event.agent_name, heard: conversation.heardAtFirst };
  return find(conversation, "agent", event.item_id, fields);
}

function sayDelta(conversation, event, changes) {
  const entry = findReply(conversation, event);
  if (entry.state === "speaking") change(entry, { text: entry.text + event.delta }, changes);
}

function sayDone(conversation, event, changes) {
  if (event.transcript === "") return;
  const entry = findReply(conversation, event);
  if (entry.state !== "interrupted") change(entry, { text: event.transcript }, changes);
}

function cut(conversation, event, changes) {
  const entry = findReply(conversation, event);
  const text = event.heard.trim();
  change(entry, { text, state: "interrupted", heardMs: event.audio_end_ms, heard: undefined }, changes);
}

function hearReply(conversation, event, changes) {
  conversation.noteProgress();
  const entry = conversation.get(`agent ${event.item_id}`);
  if (entry !== undefined && entry.state !== "interrupted") change(entry, { heard: event.heard_characters }, changes);
}

function played(conversation, event, changes) {
  const entry = conversation.get(`agent ${event.item_id}`);
  if (entry?.state === "speaking") change(entry, { state: "done" }, changes);
}

// A cancelled response with nothing said leaves no entry; one that failed says so.
function responseDone(conversation, event, changes) {
  if (event.status === "failed" && !event.is_out_of_band) {
    changes.changed.push(conversation.add({ kind: "note", tone: "warn", text: "The agent could not answer." }));
  }
}

function callTool(conversation, event, changes) {
  const { id, name, input } = event.tool_use;
  const entry = find(conversation, "tool", id, { name, state: "calling", input: {} });
  const isWaiting = event.type === "agent_response_tool_use_done" && event.is_client_tool;
  if (entry.state === "calling") change(entry, { name, input, state: isWaiting ? "waiting" : "calling" }, changes);
}

function askForApproval(conversation, event, changes) {
  const { id, name, input } = event.tool_use;
  const entry = find(conversation, "tool", id, { state: "calling" });
  const fields = { name, input, state: "asking", stateIfAllowed: entry.state, serverLabel: event.server_label };
  change(entry, fields, changes);
}

function toolAnswered(conversation, event, changes) {
  const { id, name, output, is_error: isError } = event.tool_result;
  const entry = find(conversation, "tool", id, { name, input: {} });
  // That it was refused says more than that the model was told so.
  if (entry.state !== "refused") change(entry, { output, state: isError ? "failed" : "done" }, changes);
}

const BY_WHOM = { client: "Your request was refused", provider: "The speech service reports", agent: "The agent reports" };

function fail(conversation, event, changes) {
  const text = `${BY_WHOM[event.error_type] ?? BY_WHOM.agent}: ${event.message}`;
  changes.changed.push(conversation.add({ kind: "note", tone: "warn", text }));
}

const HANDLERS = {
  agent_input_started: hear,
  agent_input_transcription_delta: hearDelta,
  agent_input_transcription_done: hearDone,
  agent_response_audio_transcript_delta: sayDelta,
  agent_response_audio_transcript_done: sayDone,
  agent_interrupted: cut,
  agent_playout_progress: hearReply,
  agent_playout_done: played,
  agent_response_done: responseDone,
  agent_response_tool_use_delta: callTool,
  agent_response_tool_use_done: callTool,
  agent_tool_approval_required: askForApproval,
  agent_response_tool_result: toolAnswered,
  agent_error: fail,
};

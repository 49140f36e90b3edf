// Server-sent events by fetch, since the browser's own reader cannot send an API key.

/** Cuts the text of a stream into events: `feed(text)` answers those that are complete. Pure. */
export class EventParser {
  #rest = "";

  /** @returns {{id: string, data: string}[]} */
  feed(text) {
    const blocks = (this.#rest + text).replaceAll("\r\n", "\n").split("\n\n");
    this.#rest = blocks.pop();
    return blocks.map(parseBlock).filter(({ data }) => data !== "");
  }
}

function parseBlock(block) {
  const found = { id: "", data: [] };
  for (const line of block.split("\n")) {
    const [, name, value] = /^([^:]*):? ?(.*)$/s.exec(line);
    if (name === "id") found.id = value;
    else if (name === "data") found.data.push(value);
  }
  return { id: found.id, data: found.data.join("\n") };
}

const RETRY_MS = [500, 1000, 2000, 5000];

/**
 * Follow a live call until it ends or `signal` gives up; a lost stream is taken up where it was.
 * open(lastId, signal): the response; onEvent(event): an object of docs/events.md.
 * @returns {Promise<void>} when the call's events are over; rejects with ApiError when it has none
 */
export async function followEvents({ open, onEvent, signal }) {
  let lastId = "0"; // from the beginning: somebody may have been asked already
  let failures = 0;
  while (!signal.aborted) {
    try {
      const response = await open(lastId, signal);
      if (response.status === 204) return;
      failures = 0;
      for await (const { id, data } of readEvents(response)) {
        if (id !== "") lastId = id;
        const event = JSON.parse(data);
        onEvent(event);
        if (event.type === "agent_exited" && !event.is_restarted) return;
      }
    } catch (error) {
      if (signal.aborted) return;
      // Refused, not lost.
      if (error.status >= 400 && error.status < 500 && error.status !== 429) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS[Math.min(failures, RETRY_MS.length - 1)]));
    failures += 1;
  }
}

async function* readEvents(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  const parser = new EventParser();
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    yield* parser.feed(value);
  }
}

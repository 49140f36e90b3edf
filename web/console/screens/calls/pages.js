// The calls that are loaded: page after page from the newest, and what is new on top.

/**
 * Put the newest page before those that are there: fresh records replace old ones, and one that did not
 * change stays the same object. isWhole: the page is all there is. Pure.
 */
export function mergeFirstPage(known, fresh, isWhole) {
  const byId = new Map(known.map((record) => [record.call_id, record]));
  const newest = fresh.map((record) => {
    const old = byId.get(record.call_id);
    return old !== undefined && JSON.stringify(old) === JSON.stringify(record) ? old : record;
  });
  const last = newest.at(-1);
  if (isWhole || last === undefined) return newest;
  // What is gone from the part that the page covers was deleted, or fits the filter no more.
  return [...newest, ...known.filter((record) => isBefore(record, last))];
}

function isBefore(record, other) {
  if (record.started_at_ms !== other.started_at_ms) return record.started_at_ms < other.started_at_ms;
  return record.call_id < other.call_id;
}

/** Pages of one filter. Each method answers whether it changed anything; rejects with ApiError. */
export class Pages {
  #load;
  #next = null;
  #isLoading = false;
  records = [];

  /** load(after): one page of the API, `{calls, next}`; after: null for the first one. */
  constructor(load) {
    this.#load = load;
  }

  get hasMore() {
    return this.#next !== null;
  }

  get isLoading() {
    return this.#isLoading;
  }

  async loadFirst() {
    const { calls, next } = await this.#take(null);
    this.records = calls;
    this.#next = next;
    return true;
  }

  async loadMore() {
    if (this.#next === null || this.#isLoading) return false;
    const { calls, next } = await this.#take(this.#next);
    const ids = new Set(this.records.map(({ call_id: id }) => id));
    this.records = [...this.records, ...calls.filter(({ call_id: id }) => !ids.has(id))];
    this.#next = next;
    return true;
  }

  /** Look at the newest page again. */
  async refresh() {
    if (this.#isLoading) return false;
    const { calls, next } = await this.#load(null);
    const merged = mergeFirstPage(this.records, calls, next === null);
    const isSame = merged.length === this.records.length && merged.every((record, place) => record === this.records[place]);
    if (next === null) this.#next = null;
    else if (this.records.length <= calls.length) this.#next = next;
    this.records = merged;
    return !isSame;
  }

  async #take(after) {
    this.#isLoading = true;
    try {
      return await this.#load(after);
    } finally {
      this.#isLoading = false;
    }
  }
}

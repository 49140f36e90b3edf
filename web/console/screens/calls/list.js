// The list of calls: filters, rows of all pages loaded so far, and what is new while one looks.

import { element } from "../../dom.js";
import { formatHash } from "../../router.js";
import { COLUMNS, makeRow } from "./call_row.js";
import { FilterForm } from "./filter_form.js";
import { readFilters, toQuery } from "./filters.js";
import { formatCount } from "./format.js";
import { Pages } from "./pages.js";
import { VirtualRows } from "./rows.js";

const PAGE = 100;
const REFRESH_MS = 4000;
const NEAR_END_PX = 800;

export class CallList {
  #api;
  #form = new FilterForm((filters) => this.#choose(filters));
  #body = element("div", { class: "call-rows", role: "rowgroup" });
  #table = element("div", { class: "call-table", role: "table", "aria-label": "Calls" });
  #count = element("p", { class: "soft", role: "status", id: "calls-count" });
  #empty = element("div", { class: "empty", hidden: true });
  #more = element("button", { class: "button", type: "button", id: "more-calls", text: "Load more", hidden: true });
  #rows;
  #pages = null;
  #query = "";
  #timer = 0;
  #scrollTop = 0;
  #hasProblem = false;
  #handleScroll = () => this.#loadNearEnd();
  node;

  constructor(api) {
    this.#api = api;
    this.#rows = new VirtualRows(this.#body, {
      make: (record) => makeRow(record, Date.now()),
      keyOf: ({ call_id: id }) => id,
    });
    const heads = COLUMNS.map((text) => element("div", { role: "columnheader", text }));
    const head = element("div", { class: "call-head", role: "row", "aria-rowindex": 1 }, heads);
    this.#table.append(element("div", { role: "rowgroup" }, [head]), this.#body);
    this.#more.addEventListener("click", () => this.#loadMore());
    this.node = element("div", { class: "calls-list" }, [
      element("div", { class: "screen-head" }, [element("h1", { text: "Calls" }), this.#count]),
      this.#form.node,
      this.#table,
      this.#empty,
      element("div", { class: "list-end" }, [this.#more]),
    ]);
  }

  /** Show the calls that the address asks for; those that are there stay when it asks for the same. */
  async show(params) {
    const filters = readFilters(params);
    this.#form.show(filters);
    this.#rows.start();
    addEventListener("scroll", this.#handleScroll, { passive: true });
    clearInterval(this.#timer);
    this.#timer = setInterval(() => this.#refresh(), REFRESH_MS);
    const query = JSON.stringify(filters);
    if (this.#pages !== null && query === this.#query) {
      this.#draw();
      scrollTo(0, this.#scrollTop);
      await this.#refresh();
      return;
    }
    this.#query = query;
    await this.#open(filters);
  }

  hide() {
    this.#scrollTop = scrollY;
    clearInterval(this.#timer);
    this.#rows.stop();
    removeEventListener("scroll", this.#handleScroll);
  }

  async #open(filters) {
    const pages = new Pages((after) =>
      this.#api.list({ ...toQuery(filters, Date.now()), limit: PAGE, ...(after === null ? {} : { after }) }),
    );
    this.#pages = pages;
    this.#table.setAttribute("aria-busy", "true");
    await this.#attempt(() => pages.loadFirst(), pages);
    this.#table.removeAttribute("aria-busy");
  }

  async #loadMore() {
    if (this.#pages === null) return;
    await this.#attempt(() => this.#pages.loadMore(), this.#pages);
  }

  async #refresh() {
    if (!document.hidden && this.#pages !== null) await this.#attempt(() => this.#pages.refresh(), this.#pages);
  }

  async #attempt(step, pages) {
    try {
      const isChanged = await step();
      if (pages === this.#pages && (isChanged || this.#hasProblem)) this.#draw();
    } catch (error) {
      if (pages !== this.#pages) return;
      if (error.isKeyProblem) clearInterval(this.#timer); // it would ask again and again
      if (pages.records.length === 0) this.#showProblem(error);
      else this.#tell(`${error.message} Shown as of before.`);
      this.#hasProblem = true;
    }
  }

  #draw() {
    this.#hasProblem = false;
    const { records, hasMore } = this.#pages;
    const isNone = records.length === 0;
    this.#table.hidden = isNone;
    this.#empty.hidden = !isNone;
    if (isNone) this.#showEmpty();
    this.#table.setAttribute("aria-rowcount", hasMore ? -1 : records.length + 1);
    this.#more.hidden = !hasMore;
    const count = `${formatCount(records.length)} ${records.length === 1 ? "call" : "calls"}`;
    this.#tell(isNone ? "" : hasMore ? `The latest ${count}` : count);
    if (!isNone) this.#rows.show(records);
  }

  #tell(text) {
    if (this.#count.textContent !== text) this.#count.textContent = text;
  }

  #showEmpty() {
    const isFiltered = this.#query !== "{}";
    this.#empty.replaceChildren(
      element("p", { class: "empty-title", text: isFiltered ? "No call fits these filters" : "No calls yet" }),
      element("p", { text: isFiltered ? "Take one of them away to see more." : "Every call leaves its record here, also while it goes on." }),
    );
  }

  #showProblem({ title, message }) {
    this.#tell("");
    this.#more.hidden = true;
    this.#table.hidden = true;
    this.#empty.hidden = false;
    const again = element("button", { class: "button small", type: "button", text: "Try again", on: { click: () => this.#open(JSON.parse(this.#query)) } });
    this.#empty.replaceChildren(element("p", { class: "empty-title", text: title ?? "The calls cannot be shown" }), element("p", { text: message }), again);
  }

  #loadNearEnd() {
    if (this.#pages === null || !this.#pages.hasMore || this.#pages.isLoading) return;
    if (this.#body.getBoundingClientRect().bottom - innerHeight < NEAR_END_PX) this.#loadMore();
  }

  // The address is the state: it can be kept, sent, and gone back to.
  #choose(filters) {
    history.replaceState(null, "", formatHash("calls", [], filters));
    this.show(new URLSearchParams(filters));
  }
}

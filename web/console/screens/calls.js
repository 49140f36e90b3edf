// The screen "Calls": the list, or one call's page.

import { CallPage } from "./calls/call_page.js";
import { CallsApi } from "./calls/calls_api.js";
import { CallList } from "./calls/list.js";

/** Make the screen in `root`; api: of `../../client/api.js`. Answers `{show(place), hide()}`. */
export function mount(root, { api }) {
  const calls = new CallsApi(api);
  const list = new CallList(calls);
  let page = null;
  let isListShown = false;

  function leave() {
    page?.close();
    page = null;
    if (isListShown) list.hide(); // which notes how far one has scrolled
    isListShown = false;
    root.replaceChildren();
  }

  return {
    /** path: `[]` for the list, `[id]` for a call; query: filters of the list. */
    async show({ path, query }) {
      leave();
      const [id] = path;
      if (id === undefined) {
        root.replaceChildren(list.node);
        isListShown = true;
        await list.show(query);
        return;
      }
      page = new CallPage(calls, id);
      root.replaceChildren(page.node);
      scrollTo(0, 0);
      await page.open();
    },
    hide: leave,
  };
}

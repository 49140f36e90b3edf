// Asks for an API key when the server wants one, and tries again with it.

import { byId } from "./dom.js";
import { remembered } from "./identity.js";

let asking = null;

function askForKey() {
  const dialog = byId("key-dialog");
  byId("key-text").textContent =
    remembered.get("apiKey") === ""
      ? "Paste one of its keys. It is kept in this tab only and forgotten when you close it."
      : "The key of this tab was refused. Check it and paste it again.";
  byId("key").value = "";
  dialog.showModal();
  return new Promise((resolve) => {
    const finish = () => {
      dialog.removeEventListener("close", finish);
      resolve(dialog.returnValue === "given");
    };
    dialog.addEventListener("close", finish);
  });
}

/** Wire the dialog up; call once. */
export function prepareKeyDialog() {
  const dialog = byId("key-dialog");
  byId("key-cancel").addEventListener("click", () => dialog.close("cancelled"));
  dialog.addEventListener("cancel", () => { dialog.returnValue = "cancelled"; });
  byId("key-form").addEventListener("submit", (event) => {
    event.preventDefault();
    remembered.set("apiKey", byId("key").value.trim());
    dialog.close("given");
  });
}

/** Run `step`; while it fails for want of a valid key, ask and run it again. */
export async function withKey(step) {
  for (;;) {
    try {
      return await step();
    } catch (error) {
      if (!error.isKeyProblem) throw error;
      asking ??= askForKey().finally(() => { asking = null; });
      if (!(await asking)) throw error;
    }
  }
}

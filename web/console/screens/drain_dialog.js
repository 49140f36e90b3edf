// Asks whether the server shall drain, and for how long calls may go on.

import { element } from "../dom.js";

/** The deadline in seconds, undefined for the server's own, or null when nothing shall happen. */
export function askToDrain() {
  const deadline = element("input", { id: "drain-deadline", type: "number", min: "0", max: "604800", inputmode: "numeric", placeholder: "as configured" });
  const cancel = element("button", { class: "button quiet", type: "button", text: "Cancel", on: { click: () => dialog.close() } });
  const dialog = element("dialog", { class: "key-dialog", "aria-labelledby": "drain-heading" }, [
    element("form", { method: "dialog", on: { submit: () => { dialog.returnValue = "drain"; } } }, [
      element("h2", { id: "drain-heading", text: "Drain this server?" }),
      element("p", { text: "It starts no more agents. Calls go on until they end, or until the deadline. Only a restart of the server ends this." }),
      element("div", { class: "field" }, [element("label", { for: "drain-deadline", text: "Deadline in seconds" }), deadline]),
      element("div", { class: "dialog-actions" }, [cancel, element("button", { class: "button danger", type: "submit", value: "drain", text: "Drain" })]),
    ]),
  ]);
  document.body.append(dialog);
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      const chosen = deadline.value === "" ? undefined : Number(deadline.value);
      resolve(dialog.returnValue === "drain" ? chosen : null);
      dialog.remove();
    });
  });
}

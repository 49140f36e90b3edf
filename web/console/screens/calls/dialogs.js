// Dialogs that ask before something cannot be undone. Escape and Cancel answer no.

import { element } from "../../dom.js";

/**
 * Ask; choices: `[{value, label, hint}]`, the first one is chosen at first. Answers the chosen value once
 * `run(value)` has succeeded, null when it was called off. What `run` rejects with is shown in the dialog.
 */
export function ask({ title, text = "", choices, action, run }) {
  const dialog = element("dialog", { class: "key-dialog ask-dialog", "aria-labelledby": "ask-heading" });
  const problem = element("p", { class: "hint problem", role: "alert", hidden: true });
  const cancel = element("button", { class: "button quiet", type: "button", text: "Cancel", on: { click: () => dialog.close() } });
  const confirm = element("button", { class: "button danger solid", type: "submit", text: action });
  const radios = choices.map(({ value, label, hint = "" }, place) => {
    const input = element("input", { type: "radio", name: "choice", value, id: `ask-${value}`, checked: place === 0 });
    const words = [element("span", { text: label }), ...(hint === "" ? [] : [element("span", { class: "hint", text: hint })])];
    return element("div", { class: "choice" }, [input, element("label", { for: `ask-${value}` }, words)]);
  });
  const chosen = () => (choices.length === 1 ? choices[0].value : dialog.querySelector("input:checked").value);
  const form = element("form", { method: "dialog" }, [
    element("h2", { id: "ask-heading", text: title }),
    ...(text === "" ? [] : [element("p", { text })]),
    ...(choices.length > 1 ? [element("fieldset", { class: "choices" }, [element("legend", { class: "visually-hidden", text: title }), ...radios])] : []),
    problem,
    element("div", { class: "dialog-actions" }, [cancel, confirm]),
  ]);
  dialog.append(form);
  document.body.append(dialog);
  dialog.showModal();
  cancel.focus(); // not what cannot be undone
  return new Promise((resolve) => {
    let answer = null;
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(answer);
    });
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      confirm.disabled = true;
      problem.hidden = true;
      try {
        const value = chosen();
        await run(value);
        answer = value;
        dialog.close();
      } catch ({ message, details = [] }) {
        problem.textContent = [message, ...details].join(" ");
        problem.hidden = false;
        confirm.disabled = false;
      }
    });
  });
}

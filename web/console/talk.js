// Push to talk: a button that is held, by pointer or with the space bar. Enter and assistive
// technology switch it on and off instead, for whom holding is hard.

// What was said as the button was let go is still on its way through the browser.
const TAIL_MS = 200;

export class TalkButton {
  #button;
  #onStart;
  #onEnd;
  #isAvailable = false;
  #isHeld = false;
  #isTalking = false;
  #tail = 0;

  /** onStart(): returns false when nobody can hear it; onEnd(): what was said is to be answered. */
  constructor(button, { onStart, onEnd }) {
    this.#button = button;
    this.#onStart = onStart;
    this.#onEnd = onEnd;
    this.#listenToPointer();
    this.#listenToKeys();
    // Whatever takes the page away takes the release away too.
    addEventListener("blur", () => this.release());
    document.addEventListener("visibilitychange", () => this.release());
  }

  /** Whether it can be used; taking it away ends the turn. */
  set isAvailable(isAvailable) {
    this.#isAvailable = isAvailable;
    this.#button.hidden = !isAvailable;
    if (!isAvailable) this.#end();
  }

  get isTalking() {
    return this.#isTalking;
  }

  press() {
    if (!this.#isAvailable || this.#isHeld) return;
    clearTimeout(this.#tail);
    if (!this.#isTalking && !this.#onStart()) return;
    this.#isHeld = this.#isTalking = true;
    this.#show();
  }

  release() {
    if (!this.#isHeld) return;
    this.#isHeld = false;
    this.#show();
    this.#tail = setTimeout(() => this.#end(), TAIL_MS);
  }

  #end() {
    clearTimeout(this.#tail);
    if (!this.#isTalking) return;
    this.#isHeld = this.#isTalking = false;
    this.#show();
    this.#onEnd();
  }

  #show() {
    this.#button.setAttribute("aria-pressed", String(this.#isHeld));
  }

  #listenToPointer() {
    const button = this.#button;
    button.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      button.setPointerCapture(event.pointerId);
      this.press();
    });
    for (const name of ["pointerup", "pointercancel", "lostpointercapture"]) {
      button.addEventListener(name, () => this.release());
    }
    button.addEventListener("contextmenu", (event) => event.preventDefault());
    // Without a pointer: Enter, a screen reader, a switch.
    button.addEventListener("click", ({ detail }) => {
      if (detail !== 0) return;
      if (this.#isHeld) this.release();
      else this.press();
    });
  }

  #listenToKeys() {
    addEventListener("keydown", (event) => {
      if (!this.#isSpace(event)) return;
      event.preventDefault(); // it would scroll the transcript
      if (!event.repeat) this.press();
    });
    addEventListener("keyup", (event) => {
      if (event.key !== " " || !this.#isAvailable) return;
      // A button clicks as its space bar comes up.
      if (event.target === this.#button) event.preventDefault();
      this.release();
    });
  }

  // Wherever the space bar has no other use.
  #isSpace({ key, target, ctrlKey, metaKey, altKey }) {
    if (key !== " " || !this.#isAvailable || ctrlKey || metaKey || altKey) return false;
    if (!this.#button.checkVisibility()) return false; // another screen is shown
    return target === this.#button || !target.closest("input, textarea, select, button, a, summary, dialog");
  }
}

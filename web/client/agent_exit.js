// Why an agent left the call, and whether another process of it comes back by itself.

// The server replaces a crashed process mostly before anybody notices.
const RETURN_MS = 2000;
const EXIT_WORDS = {
  stopped: "It was stopped.",
  drained: "The server takes no more calls for now.",
  idle: "Nobody had said anything for a while.",
  hung_up: "The agent hung up.",
  user_left: "Nobody was left in the call.",
  no_user: "Nobody came in time.",
  max_duration: "The call reached its longest allowed time.",
  budget_spent: "The call's budget is spent.",
  provider_failed: "Its speech service failed.",
  room_lost: "It lost the room.",
  crashed: "It crashed.",
  vanished: "It stopped answering.",
};

export class AgentExit {
  #reason = null;
  #waiting = null;

  /** The agent says why it ends. */
  handleEnded(reason) {
    this.#reason = reason;
  }

  /** It is gone: why, also in words, and whether it had not said so. roomReason: what the room knows. */
  handleLeft(roomReason) {
    const isSudden = this.#reason === null;
    const reason = this.#reason ?? roomReason;
    this.#reason = null;
    return { isSudden, reason, message: EXIT_WORDS[reason] ?? EXIT_WORDS[roomReason] ?? "" };
  }

  /** onGone(): it is not back within a moment; onBack(): it is back, then or later. */
  awaitReturn({ onGone, onBack }) {
    this.forget();
    this.#waiting = { timer: setTimeout(onGone, RETURN_MS), onBack };
  }

  /** An agent is there. */
  handleBack() {
    const waiting = this.#waiting;
    this.forget();
    waiting?.onBack();
  }

  /** Whoever comes now is another one. */
  forget() {
    clearTimeout(this.#waiting?.timer);
    this.#waiting = null;
  }
}

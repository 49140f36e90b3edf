// Time from the end of the user's speech to the agent's first sound, as heard on this page. Pure.

import { isVoice } from "../client/levels.js";

const LONGEST_ENDPOINTING_MS = 3000;

export class ReplyClock {
  #lastVoiceAt = -Infinity;
  #endedAt = null;

  /** The agent says the user's turn is over (`agent_input_done`). */
  handleInputDone(now) {
    const isRecent = now - this.#lastVoiceAt < LONGEST_ENDPOINTING_MS;
    this.#endedAt = isRecent ? this.#lastVoiceAt : now;
  }

  /** The user speaks again: the reply that we waited for may never come. */
  handleInputStarted() {
    this.#endedAt = null;
  }

  /** Levels at `now` (ms); returns the reply time in ms in the moment the agent is first heard. */
  handleLevels({ user, agent, now }) {
    if (isVoice(user)) this.#lastVoiceAt = now;
    if (this.#endedAt === null || !isVoice(agent)) return null;
    const replyMs = now - this.#endedAt;
    this.#endedAt = null;
    return replyMs;
  }
}

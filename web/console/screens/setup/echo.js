// Whether what a speaker plays comes back into the microphone. Pure.

import { isVoice } from "../../../client/levels.js";

const LEAST_SAMPLES = 5;
const RISE = 0.15; // 9 dB above the room: what the browser's echo cancellation leaves is below it

function mean(values) {
  return values.length === 0 ? 0 : values.reduce((sum, value) => sum + value, 0) / values.length;
}

/**
 * Judge levels (0 to 1, as of `levels.js`): room: of the microphone while nothing was played; played and
 * heard: of the speaker and the microphone at the same moments.
 *
 * Answers `quiet` (what was recorded holds no voice), `echo`, or `clear`.
 */
export function judgeEcho({ room, samples }) {
  const loud = samples.filter(({ played }) => isVoice(played)).map(({ heard }) => heard);
  if (loud.length < LEAST_SAMPLES) return "quiet";
  const heard = mean(loud);
  return isVoice(heard) && heard - mean(room) > RISE ? "echo" : "clear";
}

export const VERDICTS = {
  quiet: ["Nothing was heard in the recording. Is the right microphone chosen, and not muted?", "bad"],
  echo: ["The speaker comes back into the microphone: the agent would interrupt itself. Use headphones, or turn it down.", "bad"],
  clear: ["That is how you sound. The speaker does not come back into the microphone.", "ok"],
};

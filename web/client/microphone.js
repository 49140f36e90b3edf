// The microphone, and words for each way in which it can be missing.

import { MicrophoneError } from "./errors.js";

const OR_WITHOUT = "and try again, or join without it: you will hear the agent and can type to it.";
const NO_DEVICE = ["no_microphone", "No microphone found", `Connect one ${OR_WITHOUT}`];
const PROCESSING = { echoCancellation: true, noiseSuppression: true, autoGainControl: true, channelCount: 1 };

const REASONS = {
  NotFoundError: NO_DEVICE,
  OverconstrainedError: NO_DEVICE,
  NotAllowedError: [
    "microphone_denied", "The microphone is blocked", `Allow it for this page in your browser's address bar ${OR_WITHOUT}`,
  ],
  NotReadableError: ["microphone_busy", "The microphone is in use", `Close the other program that holds it ${OR_WITHOUT}`],
};

function missing(code, title, message) {
  return new MicrophoneError(code, message, { title });
}

/**
 * Ask for the microphone, with echo cancellation.
 * @param {MediaTrackConstraints} wanted for instance `{deviceId}`
 * @returns {Promise<MediaStream>} rejects with MicrophoneError
 */
export async function openMicrophone(wanted = {}) {
  if (!navigator.mediaDevices?.getUserMedia) {
    const message = "Open this page by https, or on this machine by http://localhost.";
    throw missing("insecure_page", "The microphone needs a secure page", message);
  }
  try {
    return await navigator.mediaDevices.getUserMedia({ audio: { ...PROCESSING, ...wanted } });
  } catch (error) {
    throw missing(...(REASONS[error.name] ?? ["microphone_failed", "The microphone does not work", error.message]));
  }
}

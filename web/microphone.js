// The microphone, and words for each way in which it can be missing.

/** `code`: none, denied, busy, insecure or failed. `title` and `message` are for people. */
export class MicrophoneError extends Error {
  constructor(code, title, message) {
    super(message);
    this.code = code;
    this.title = title;
  }
}

const OR_WITHOUT = "and try again, or join without it: you will hear the agent and can type to it.";
const NO_DEVICE = ["none", "No microphone found", `Connect one ${OR_WITHOUT}`];

const REASONS = {
  NotFoundError: NO_DEVICE,
  OverconstrainedError: NO_DEVICE,
  NotAllowedError: ["denied", "The microphone is blocked", `Allow it for this page in your browser's address bar ${OR_WITHOUT}`],
  NotReadableError: ["busy", "The microphone is in use", `Close the other program that holds it ${OR_WITHOUT}`],
};

/** Ask for the microphone. Rejects with MicrophoneError. */
export async function openMicrophone() {
  if (!navigator.mediaDevices?.getUserMedia) {
    const message = "Open this page by https, or on this machine by http://localhost.";
    throw new MicrophoneError("insecure", "The microphone needs a secure page", message);
  }
  try {
    return await navigator.mediaDevices.getUserMedia({
      audio: { echoCancellation: true, noiseSuppression: true, autoGainControl: true, channelCount: 1 },
    });
  } catch (error) {
    throw new MicrophoneError(...(REASONS[error.name] ?? ["failed", "The microphone does not work", error.message]));
  }
}

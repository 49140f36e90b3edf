// The microphone, and words for each way in which it can be missing.

/** `code`: none, denied, busy, insecure or failed. `title` and `message` are for people. */
export class MicrophoneError extends Error {
  constructor(code, title, message) {
    super(message);
    this.code = code;
    this.title = title;
  }
}

const NO_DEVICE = () => new MicrophoneError("none", "No microphone found", "Connect one and try again, or join without it: you will hear the agent and can type to it.");

const REASONS = {
  NotFoundError: NO_DEVICE,
  OverconstrainedError: NO_DEVICE,
  NotAllowedError: () =>
    new MicrophoneError("denied", "The microphone is blocked", "Allow it for this page in your browser's address bar and try again, or join without it and type."),
  NotReadableError: () =>
    new MicrophoneError("busy", "The microphone is in use", "Another program holds it. Close that program and try again, or join without it and type."),
};

/** Ask for the microphone. Rejects with MicrophoneError. */
export async function openMicrophone() {
  if (!navigator.mediaDevices?.getUserMedia) {
    throw new MicrophoneError("insecure", "The microphone needs a secure page", "Open this page by https, or on this machine by http://localhost.");
  }
  try {
    return await navigator.mediaDevices.getUserMedia({
      audio: { echoCancellation: true, noiseSuppression: true, autoGainControl: true, channelCount: 1 },
    });
  } catch (error) {
    const known = REASONS[error.name];
    throw known ? known() : new MicrophoneError("failed", "The microphone does not work", error.message);
  }
}

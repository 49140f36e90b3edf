// A camera or the screen, shown as pictures: at most one a second, and none that looks like the one before.

import { ParleyError } from "./errors.js";
import { drawnImageEvents } from "./images.js";

const EVERY_MS = 1000;
const CELLS_X = 64;
const CELLS_Y = 36;
// Of 255: a letter that was typed is more, the noise of a camera is less.
const NEWS = 8;

const OPENERS = {
  camera: () => navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 1280 }, height: { ideal: 720 } } }),
  screen: () => navigator.mediaDevices.getDisplayMedia({ video: { frameRate: { ideal: 5 } } }),
};

const WORDS = {
  camera: {
    NotFoundError: ["no_camera", "No camera found", "Connect one and try again."],
    NotAllowedError: ["camera_denied", "The camera is blocked", "Allow it for this page in your browser's address bar and try again."],
    NotReadableError: ["camera_busy", "The camera is in use", "Close the other program that holds it and try again."],
    other: ["camera_failed", "The camera does not work"],
  },
  screen: {
    NotAllowedError: ["screen_denied", "The screen is not shared", "Choose what to share, and allow it for this page."],
    other: ["screen_failed", "The screen cannot be shared"],
  },
};

/** What can be shared here: some of "camera" and "screen". */
export function shareableSources() {
  const devices = navigator.mediaDevices;
  return [devices?.getUserMedia ? "camera" : null, devices?.getDisplayMedia ? "screen" : null].filter(Boolean);
}

/** One share, from `open` until `stop`, or until the browser's own button ends it. */
export class PictureShare {
  #source;
  #show;
  #onEnd;
  #video = document.createElement("video");
  #glance = new Glance();
  #timer = 0;
  #isLooking = false;

  /** show(events): async, false when they cannot be sent now; onEnd(): it was ended from outside. */
  constructor(source, { show, onEnd }) {
    this.#source = source;
    this.#show = show;
    this.#onEnd = onEnd;
  }

  /** "camera" or "screen". */
  get source() {
    return this.#source;
  }

  /** What is shared, for a page that shows it to its user too; null unless it is open. */
  get stream() {
    return this.#video.srcObject;
  }

  /** Ask the user; rejects with ParleyError. */
  async open() {
    let stream;
    try {
      stream = await OPENERS[this.#source]();
    } catch (error) {
      const words = WORDS[this.#source];
      const [code, title, message] = words[error.name] ?? [...words.other, error.message];
      throw new ParleyError(code, message, { title, cause: error });
    }
    const [track] = stream.getVideoTracks();
    track.addEventListener("ended", () => this.#handleEnd());
    this.#video.muted = true;
    this.#video.srcObject = stream;
    this.#video.play().catch((error) => console.warn("shared picture:", error));
    this.#timer = setInterval(() => this.#look(), EVERY_MS);
  }

  /** Show the next picture even if it is like the one before: whoever sees it is new. */
  repeat() {
    this.#glance.forget();
  }

  stop() {
    clearInterval(this.#timer);
    for (const track of this.stream?.getTracks() ?? []) track.stop();
    this.#video.srcObject = null;
  }

  #handleEnd() {
    if (this.stream === null) return;
    this.stop();
    this.#onEnd();
  }

  async #look() {
    const { videoWidth: width, videoHeight: height, readyState } = this.#video;
    const isThere = readyState >= HTMLMediaElement.HAVE_CURRENT_DATA && width > 0;
    if (!isThere || this.#isLooking || !this.#glance.isNews(this.#video)) return;
    this.#isLooking = true;
    try {
      const events = await drawnImageEvents({ source: this.#video, width, height });
      if (this.stream !== null && (await this.#show(events))) this.#glance.keep();
    } catch (error) {
      console.warn("shared picture:", error);
    } finally {
      this.#isLooking = false;
    }
  }
}

/** Tells whether a picture looks different from the one that was shown last. */
class Glance {
  #context;
  #shown = null;
  #seen = null;

  constructor() {
    const canvas = Object.assign(document.createElement("canvas"), { width: CELLS_X, height: CELLS_Y });
    this.#context = canvas.getContext("2d", { willReadFrequently: true });
    this.#context.imageSmoothingQuality = "high";
  }

  isNews(picture) {
    this.#context.drawImage(picture, 0, 0, CELLS_X, CELLS_Y);
    this.#seen = this.#context.getImageData(0, 0, CELLS_X, CELLS_Y).data;
    const shown = this.#shown;
    return shown === null || this.#seen.some((value, at) => Math.abs(value - shown[at]) > NEWS);
  }

  /** The picture of the last question was shown. */
  keep() {
    this.#shown = this.#seen;
  }

  forget() {
    this.#shown = null;
  }
}

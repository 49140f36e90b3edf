// The recording's player: play, pause, speed, and where it is. The sound is loaded when it is first wanted.

import { element, svg } from "../../dom.js";
import { formatClock } from "./format.js";

const SPEEDS = [1, 1.25, 1.5, 2];
const END_MS = 100;
const GROWN_MS = 500;

export class Player {
  #audio = new Audio();
  #source;
  #onTime;
  #duration = 0;
  #isLoaded = false;
  #isClosed = false;
  #address = null; // of what was fetched
  #frame = 0;
  #at = 0;
  #play = element("button", { class: "button primary icon-only play", type: "button", "aria-label": "Play" });
  #time = element("span", { class: "player-time" });
  #speed = element("button", { class: "button small", type: "button", text: "1×", "aria-label": "Speed 1" });
  #problem = element("p", { class: "hint problem", role: "alert", hidden: true });
  #isInSight = true;
  #bar;
  #place;
  node;

  /**
   * source(): the recording's address, or a promise of one that is ours to revoke, as `{address, isOwn}`;
   * onTime(ms, isPlaying): it is there now.
   */
  constructor({ source, onTime }) {
    this.#source = source;
    this.#onTime = onTime;
    this.#audio.preload = "auto";
    this.#play.append(icon("play-icon", "M8 5.5v13l11-6.5Z"), icon("pause-icon", "M8 5.5v13M16 5.5v13"));
    this.#play.addEventListener("click", () => this.toggle());
    this.#speed.addEventListener("click", () => this.#nextSpeed());
    for (const name of ["play", "pause", "ended"]) this.#audio.addEventListener(name, () => this.#handleState());
    this.#audio.addEventListener("seeked", () => this.#tell());
    this.#audio.addEventListener("error", () => this.#fail());
    this.#bar = element("div", { class: "player", role: "group", "aria-label": "Recording" }, [this.#play, this.#time, this.#speed, this.#problem]);
    this.node = element("div", { class: "player-place" }, [this.#bar]);
    this.#showTime();
    // Once it plays it stays at hand, wherever one reads.
    this.#place = new IntersectionObserver((seen) => {
      this.#isInSight = seen.at(-1).isIntersecting;
      this.#float();
    });
    this.#place.observe(this.node);
  }

  setDuration(ms) {
    this.#duration = ms;
    this.#showTime();
  }

  async toggle() {
    if (!this.#audio.paused) {
      this.#audio.pause();
      return;
    }
    await this.#start();
  }

  /** Go to a place; a recording that plays goes on from there. */
  async seek(ms) {
    this.#at = Math.max(0, Math.min(ms, this.#duration));
    this.#showTime();
    this.#onTime(this.#at, false);
    if (this.#isLoaded) this.#audio.currentTime = this.#at / 1000;
  }

  /** Play from a place. */
  async playFrom(ms) {
    await this.seek(ms);
    await this.#start();
  }

  close() {
    this.#isClosed = true;
    this.#place.disconnect();
    cancelAnimationFrame(this.#frame);
    this.#audio.pause();
    this.#audio.removeAttribute("src");
    this.#audio.load();
    if (this.#address !== null) URL.revokeObjectURL(this.#address);
  }

  async #start() {
    this.#problem.hidden = true;
    this.#play.setAttribute("aria-busy", "true");
    if (this.#at >= this.#duration - END_MS) this.#at = 0;
    try {
      await this.#load();
      this.#audio.currentTime = this.#at / 1000;
      await this.#audio.play();
    } catch (error) {
      if (error.name !== "AbortError") this.#fail(error);
    } finally {
      this.#play.removeAttribute("aria-busy");
    }
  }

  // The recording of a live call is longer each time that one looks.
  get #isWhole() {
    return this.#at < this.#audio.duration * 1000 - END_MS || this.#duration < this.#audio.duration * 1000 + GROWN_MS;
  }

  async #load() {
    if (this.#isLoaded && this.#isWhole) return;
    const { address, isOwn } = await this.#source();
    if (this.#address !== null) URL.revokeObjectURL(this.#address);
    this.#address = isOwn ? address : null;
    if (this.#isClosed) throw new DOMException("The page was left.", "AbortError");
    this.#audio.src = address;
    await new Promise((resolve, reject) => {
      this.#audio.addEventListener("loadedmetadata", resolve, { once: true });
      this.#audio.addEventListener("error", () => reject(new Error("The recording cannot be played.")), { once: true });
    });
    this.#isLoaded = true;
  }

  #float() {
    this.#bar.classList.toggle("floating", this.#isLoaded && !this.#isInSight);
  }

  #handleState() {
    this.#float();
    const isPlaying = !this.#audio.paused && !this.#audio.ended;
    this.#play.dataset.playing = String(isPlaying);
    this.#play.setAttribute("aria-label", isPlaying ? "Pause" : "Play");
    cancelAnimationFrame(this.#frame);
    if (isPlaying) this.#follow();
    else this.#tell();
  }

  #follow() {
    this.#tell();
    this.#frame = requestAnimationFrame(() => this.#follow());
  }

  #tell() {
    this.#at = this.#audio.currentTime * 1000;
    this.#showTime();
    this.#onTime(this.#at, !this.#audio.paused);
  }

  #showTime() {
    const text = `${formatClock(this.#at)} / ${formatClock(this.#duration)}`;
    if (this.#time.textContent !== text) this.#time.textContent = text;
  }

  #nextSpeed() {
    const next = SPEEDS[(SPEEDS.indexOf(this.#audio.playbackRate) + 1) % SPEEDS.length];
    this.#audio.playbackRate = next;
    this.#audio.defaultPlaybackRate = next;
    this.#speed.textContent = `${next}×`;
    this.#speed.setAttribute("aria-label", `Speed ${next}`);
  }

  #fail({ message = "The recording cannot be played." } = {}) {
    if (this.#isClosed) return;
    this.#problem.textContent = message;
    this.#problem.hidden = false;
  }
}

function icon(name, path) {
  return svg("svg", { class: `icon ${name}`, viewBox: "0 0 24 24", "aria-hidden": "true", focusable: "false" }, [svg("path", { d: path })]);
}

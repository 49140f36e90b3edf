// The microphone and the loudspeaker of a bridge: AudioWorklets on either side of a socket.

import { ParleyError } from "../errors.js";
import { LevelMeter } from "../levels.js";
import { factorOf } from "./resampling.js";

// To read `outputLatency` can freeze the tab in Firefox (seen in 153) when the sound device asks for samples at that
// moment: its main thread holds the lock of the audio graph while it waits for the device, which waits for the graph.
const IS_GECKO = "mozInnerScreenX" in globalThis;
const GECKO_OUTPUT_S = 0.025; // of its buffer; 22 to 24 ms were measured with PulseAudio

export class Sound {
  #context;
  #meter;
  #source = null;
  #microphone = null;
  #voice = null;
  #delayS = 0;

  /** context: a running AudioContext. */
  constructor(context) {
    this.#context = context;
    this.#meter = new LevelMeter(context);
  }

  /** Samples a second on the wire, both ways. */
  get rateHz() {
    return this.#context.sampleRate / factorOf(this.#context.sampleRate);
  }

  /** The browser waits for a click before it plays. */
  get isBlocked() {
    return this.#context.state === "suspended";
  }

  /** How long a sample that comes now takes to the ear. */
  get delayMs() {
    const outputS = IS_GECKO ? GECKO_OUTPUT_S : this.#context.outputLatency ?? 0;
    return Math.round((this.#delayS + (this.#context.baseLatency ?? 0) + outputS) * 1000);
  }

  /** track: of the microphone, or null; onPiece(ArrayBuffer): 20 ms of it as PCM16. Rejects with ParleyError. */
  async open(track, onPiece) {
    if (this.#context.audioWorklet === undefined) {
      throw new ParleyError("insecure_page", "Open this page by https, or on this machine by http://localhost.");
    }
    await this.#context.audioWorklet.addModule(new URL("worklet.js", import.meta.url));
    this.#voice = new AudioWorkletNode(this.#context, "parley-voice", { numberOfInputs: 0, outputChannelCount: [1] });
    this.#voice.port.onmessage = ({ data }) => { this.#delayS = data.delayS; };
    this.#voice.connect(this.#context.destination);
    this.#meter.addNode("voice", this.#voice);
    if (track === null) return;
    this.#source = this.#context.createMediaStreamSource(new MediaStream([track]));
    const mono = { numberOfOutputs: 0, channelCount: 1, channelCountMode: "explicit" };
    this.#microphone = new AudioWorkletNode(this.#context, "parley-microphone", mono);
    this.#microphone.port.onmessage = ({ data }) => onPiece(data);
    this.#source.connect(this.#microphone);
  }

  /** PCM16 of the agent's voice, as it comes. */
  play(piece) {
    this.#voice.port.postMessage(piece, [piece]);
  }

  /** Nothing more comes of this reply. */
  end() {
    this.#voice.port.postMessage("end");
  }

  /** The reply was cut: what was not heard yet is not to be heard. */
  clear() {
    this.#voice.port.postMessage("clear");
  }

  readLevel() {
    return this.#meter.read();
  }

  close() {
    this.#source?.disconnect();
    this.#meter.remove("voice");
    this.#voice?.port.postMessage("close");
    this.#voice?.disconnect();
  }
}

"""A script that runs before a page's own: it keeps what the page plays and the events that reach it."""

from __future__ import annotations


def instruments(rate_hz: int | None = None) -> str:
    """The script; what is heard is kept at `rate_hz`, or at the rate of the device."""
    options = "" if rate_hz is None else f"{{ sampleRate: {rate_hz} }}"
    return _SCRIPT.replace("OPTIONS", options)


_SCRIPT = """
(() => {
  const tracks = [];
  const connections = [];
  const events = [];
  const peers = [];
  const violations = [];
  let context = null;
  addEventListener("securitypolicyviolation", ({ effectiveDirective, blockedURI }) =>
    violations.push(`${effectiveDirective} ${blockedURI}`));
  const encode = (samples) => {
    let text = "";
    for (const byte of new Uint8Array(samples.buffer)) text += String.fromCharCode(byte);
    return btoa(text);
  };
  window.parleyTest = {
    events,
    violations,
    connections: 0,
    readVoice: async () => {
      for (const entry of (await peers.at(-1).getStats()).values()) {
        if (entry.type === "inbound-rtp" && entry.kind === "audio") return entry;
      }
      return {};
    },
    waitUntilLoud: async (deadlineMs, isOfAny = false) => {
      const since = performance.now();
      const isLoud = ([at, samples]) =>
        at >= since && samples.some((sample) => Math.abs(sample) > 0.05);
      while (!(isOfAny ? tracks : tracks.slice(-1)).some((pieces) => pieces.some(isLoud))) {
        if (performance.now() > since + deadlineMs) throw new Error("nothing is heard");
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    },
    isConnected: () => connections.at(-1)?.connectionState === "connected",
    candidateTypes: async () => {
      const found = { local: new Set(), remote: new Set() };
      for (const { type, candidateType } of (await connections.at(-1).getStats()).values()) {
        if (type === "local-candidate") found.local.add(candidateType);
        if (type === "remote-candidate") found.remote.add(candidateType);
      }
      return { local: [...found.local], remote: [...found.remote] };
    },
    readHeard: () => (tracks.at(-1) ?? []).map(([at, samples]) => [at, encode(samples)]),
  };
  const record = (track) => {
    context ??= new AudioContext(OPTIONS);
    const pieces = [];
    tracks.push(pieces);
    const tap = context.createScriptProcessor(512, 1, 1);
    tap.onaudioprocess = ({ inputBuffer }) =>
      pieces.push([performance.now(), inputBuffer.getChannelData(0).slice()]);
    context.createMediaStreamSource(new MediaStream([track])).connect(tap);
    tap.connect(context.destination);
  };
  // A voice that comes by WebSocket goes from a worklet to the loudspeaker.
  const connect = AudioNode.prototype.connect;
  AudioNode.prototype.connect = function (target, ...rest) {
    if (this instanceof AudioWorkletNode && target instanceof AudioDestinationNode) {
      const pieces = [];
      tracks.push(pieces);
      window.parleyTest.rate = this.context.sampleRate;
      const tap = this.context.createScriptProcessor(512, 1, 1);
      tap.onaudioprocess = ({ inputBuffer }) =>
        pieces.push([performance.now(), inputBuffer.getChannelData(0).slice()]);
      connect.call(this, tap);
      connect.call(tap, this.context.destination);
    }
    return connect.call(this, target, ...rest);
  };
  const listen = (channel) =>
    channel.addEventListener("message", ({ data }) =>
      events.push({ ...JSON.parse(data), at_ms: performance.now() }));
  const Native = window.RTCPeerConnection;
  window.RTCPeerConnection = class extends Native {
    constructor(...parts) {
      super(...parts);
      connections.push(this);
      window.parleyTest.connections += 1;
      peers.push(this);
      this.addEventListener("track", ({ track }) => record(track));
      this.addEventListener("datachannel", ({ channel }) => listen(channel));
    }
    createDataChannel(...parts) {
      const channel = super.createDataChannel(...parts);
      listen(channel);
      return channel;
    }
  };
})();
"""

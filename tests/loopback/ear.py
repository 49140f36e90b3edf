"""What reaches a listener, before the listener's own buffers make something of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from rtc.aiortc_hooks.receiver import RtpPacket
from rtc.channel import Channel
from rtc.opus import OpusDecoder

LOUD = 1000
RATE_HZ = 24_000
STEP_MS = 5
_STEP_SAMPLES = RATE_HZ * STEP_MS // 1000


@dataclass(frozen=True)
class Piece:
    """The sound of one packet, the sender's time (1/48000 s) of it, and when (loop time) it came."""

    pcm: bytes
    timestamp: int
    received_at: float

    def loud_steps(self) -> list[bool]:
        """Which of its steps of 5 ms are loud."""
        steps = np.frombuffer(self.pcm, np.int16).astype(np.int32).reshape(-1, _STEP_SAMPLES)
        return [bool(loud) for loud in np.abs(steps).max(axis=1) > LOUD]


@dataclass
class Ear:
    """Every packet of a voice, once and in order: nothing made up, stretched or left out.

    The stream that `Channel.get_audio_frames` gives has all of that in it as soon as the listener's
    machine is held up, as it should; how much was sent can be told from the packets alone.
    """

    pieces: list[Piece] = field(default_factory=list)
    pcm: bytearray = field(default_factory=bytearray)
    loud_ms: float = 0.0
    _decoders: dict[int, OpusDecoder] = field(default_factory=dict)

    def take(self, packet: RtpPacket, received_at: float) -> None:
        """The next packet."""
        if packet.ssrc not in self._decoders:
            self._decoders[packet.ssrc] = OpusDecoder(RATE_HZ)
        pcm = self._decoders[packet.ssrc].decode(packet.payload)
        piece = Piece(pcm, packet.timestamp, received_at)
        self.pieces.append(piece)
        self.pcm += pcm
        self.loud_ms += STEP_MS * sum(piece.loud_steps())


def listen(
    channel: Channel, uid: int, on_news: Callable[[], None], now: Callable[[], float]
) -> Ear:
    """Hear what `uid` sends to a channel that is not connected yet.

    on_news: called after each packet; now: the time
    """
    ear = Ear()
    mesh = channel._mesh
    pass_on = mesh._callbacks.on_packet

    def take(sender: int, packet: RtpPacket) -> None:
        if sender == uid and packet.payload:
            ear.take(packet, now())
            on_news()
        pass_on(sender, packet)

    mesh._callbacks = replace(mesh._callbacks, on_packet=take)
    return ear

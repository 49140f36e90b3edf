"""One participant's packets made into 20 ms frames of PCM16. Pure: time is an argument, no I/O.

The jitter buffer says what to play; here it is decoded, concealed, shortened where delay is to be
given up (silence first, then single periods of voiced sound) and cut into frames.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, assert_never

import numpy as np

from line.timing import PTIME_TICKS, RTP_CLOCK_HZ
from rtc.opus import OpusDecoder, OpusError, packet_samples
from rtc.receive.jitter_buffer import (
    Conceal,
    Decode,
    Instruction,
    JitterBuffer,
    JitterStatistics,
    Recover,
    Restart,
    Silence,
)
from rtc.receive.time_stretch import QuietDetector, shorten

FRAME_MS: Final = 20
MAX_CONCEALED: Final = 5
# A period is taken from one frame in so many, and from each when the delay is large.
_SHORTEN_EVERY: Final = 3
_MAX_HEADS: Final = 256
_URGENT_TICKS: Final = RTP_CLOCK_HZ // 5


@dataclass
class DecoderStatistics:
    """Counts since the start. concealed: frames made up from what was before; shortened: cut ones.

    trimmed_ms: quiet or repetitive sound left out so that delay shrinks.
    """

    jitter: JitterStatistics = field(default_factory=JitterStatistics)
    frames: int = 0
    recovered: int = 0
    concealed: int = 0
    corrupt: int = 0
    shortened: int = 0
    trimmed_ms: float = 0.0


class VoiceDecoder:
    """After each `add`, and at `next_s`, `take` the frames that are due."""

    def __init__(self, sample_rate_hz: int) -> None:
        self.sample_rate_hz = sample_rate_hz
        self.buffer = JitterBuffer()
        self.statistics = DecoderStatistics(self.buffer.statistics)
        self._frame_bytes = sample_rate_hz * FRAME_MS // 1000 * 2
        self._ticks_per_sample = RTP_CLOCK_HZ // sample_rate_hz
        self._decoder = OpusDecoder(sample_rate_hz)
        self._quiet = QuietDetector()
        self._ssrc: int | None = None
        # How long a packet lasts that begins with these two bytes; its rest has no part in it.
        self._ticks_of: dict[bytes, int] = {}
        # Decoded audio that does not fill a frame yet.
        self._rest = bytearray()
        # Concealed in a row; many before the first packet, which there is nothing to conceal with.
        self._concealed = MAX_CONCEALED
        self._since_shortened = 0
        # Of the loudest packet in what was taken last, as the root of the mean square (full scale
        # 32768); None: it was made up.
        self.level: float | None = None

    @property
    def next_s(self) -> float | None:
        """The time at which `take` has audio if nothing arrives; None: never."""
        return self.buffer.next_s

    def add(
        self, ssrc: int, sequence_number: int, timestamp: int, payload: bytes, now_s: float
    ) -> None:
        """Take a packet that arrived at `now_s`; one that is no Opus at all is counted and lost."""
        try:
            ticks = packet_samples(payload, RTP_CLOCK_HZ)
        except OpusError:
            self.statistics.corrupt += 1
            return
        if len(self._ticks_of) < _MAX_HEADS:
            self._ticks_of[payload[:2]] = ticks
        if ssrc != self._ssrc:
            if self._ssrc is not None:
                self.buffer.start_over()
                self._renew_decoder()
            self._ssrc = ssrc
        self.buffer.add(sequence_number, timestamp, payload, ticks, now_s)

    def add_and_take(
        self, ssrc: int, sequence_number: int, timestamp: int, payload: bytes, now_s: float
    ) -> list[bytes]:
        """Do what `add` and `take` do, in few steps for the packet that is expected next."""
        head = payload[:2]
        if ssrc != self._ssrc or (ticks := self._ticks_of.get(head)) is None:
            self.add(ssrc, sequence_number, timestamp, payload, now_s)
            return self.take(now_s)
        self.level = None
        first = self.buffer.add_and_take(sequence_number, timestamp, payload, ticks, now_s)
        return [] if first is None else self._play(first, now_s)

    def take(self, now_s: float) -> list[bytes]:
        """The frames that are due now, oldest first."""
        self.level = None
        first = self.buffer.take(now_s)
        return [] if first is None else self._play(first, now_s)

    def _play(self, instruction: Instruction | None, now_s: float) -> list[bytes]:
        """Carry out an instruction and all that follow it."""
        frames: list[bytes] = []
        while instruction is not None:
            sound = self._sound(instruction)
            if not self._rest and len(sound) == self._frame_bytes:
                frames.append(sound)
            else:
                self._cut(sound, frames)
            instruction = self.buffer.take(now_s)
        self.statistics.frames += len(frames)
        return frames

    def _cut(self, sound: bytes, frames: list[bytes]) -> None:
        """Append the whole frames in what is left of earlier sound and `sound`."""
        self._rest += sound
        while len(self._rest) >= self._frame_bytes:
            frames.append(bytes(self._rest[: self._frame_bytes]))
            del self._rest[: self._frame_bytes]

    def close(self) -> None:
        """Free the decoder. Idempotent."""
        self._decoder.close()

    # -- sound ----------------------------------------------------------------------------------

    def _sound(self, instruction: Instruction) -> bytes:
        match instruction:
            case Decode() | Recover():
                try:
                    return self._decode(instruction)
                except OpusError:
                    self.statistics.corrupt += 1
                    return self._conceal(instruction.ticks)
            case Conceal(ticks=ticks):
                return self._conceal(ticks)
            case Silence(ticks=ticks):
                return bytes(self._samples(ticks) * 2)
            case Restart():
                self._renew_decoder()
                return b""
            case _:
                assert_never(instruction)

    def _decode(self, instruction: Decode | Recover) -> bytes:
        if isinstance(instruction, Decode):
            pcm = self._decoder.decode(instruction.payload)
            self._concealed = 0
            return self._trim(pcm, instruction)
        pcm = self._decoder.decode_fec(instruction.next_payload, self._samples(instruction.ticks))
        self.statistics.recovered += 1
        return pcm

    def _conceal(self, ticks: int) -> bytes:
        if self._concealed >= MAX_CONCEALED:
            return bytes(self._samples(ticks) * 2)
        self._concealed += 1
        self.statistics.concealed += 1
        return self._decoder.conceal(self._samples(ticks))

    def _renew_decoder(self) -> None:
        self._decoder.close()
        self._decoder = OpusDecoder(self.sample_rate_hz)

    def _samples(self, ticks: int) -> int:
        return ticks // self._ticks_per_sample

    # -- less of it -----------------------------------------------------------------------------

    def _trim(self, pcm: bytes, played: Decode) -> bytes:
        """Give up delay: leave out what is quiet, or a period of what is not."""
        samples = np.frombuffer(pcm, np.int16)
        is_quiet = self._quiet.is_quiet(samples)
        self.level = max(self.level or 0.0, self._quiet.level)
        self._since_shortened += 1
        if not (played.excess_ticks or self._rest):
            return pcm
        rest = self._misaligned_bytes(len(pcm))
        if is_quiet and 2 * played.excess_ticks >= played.ticks and not rest:
            return self._less(pcm, b"")
        if is_quiet and rest:
            return self._less(pcm, self._aligned(pcm, rest, played.excess_ticks))
        is_urgent = played.excess_ticks >= _URGENT_TICKS
        is_time = is_urgent or self._since_shortened >= _SHORTEN_EVERY
        if played.excess_ticks >= PTIME_TICKS and is_time:
            self._since_shortened = 0
            self.statistics.shortened += 1
            return self._less(
                pcm, shorten(samples, self.sample_rate_hz, is_urgent=is_urgent).tobytes()
            )
        return pcm

    def _misaligned_bytes(self, packet_bytes: int) -> int:
        """The rest of a shortened packet, which makes each later frame wait for the next packet."""
        return len(self._rest) % min(packet_bytes, self._frame_bytes)

    def _aligned(self, pcm: bytes, rest: int, excess_ticks: int) -> bytes:
        if rest // 2 * self._ticks_per_sample <= excess_ticks and rest < len(pcm):
            return pcm[rest:]
        return bytes(min(len(pcm), self._frame_bytes) - rest) + pcm

    def _less(self, pcm: bytes, shorter: bytes) -> bytes:
        ticks = (len(pcm) - len(shorter)) // 2 * self._ticks_per_sample
        self.buffer.shorten(ticks)
        self.statistics.trimmed_ms += max(0, ticks) * 1000 / RTP_CLOCK_HZ
        return shorter

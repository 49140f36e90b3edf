"""An hour of talk in a minute: drift and memory of the whole path of a voice, time as an argument.

The real playout, encoder, jitter buffer and decoder. Timers come late, as on a busy loop, packets
take a network's time. Nine replies of 6:40 minutes, with a breath between them.
"""

from __future__ import annotations

import gc
import random
import statistics
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

import numpy as np

from bench.figures import row
from line.playout.buffer import PlayoutBuffer, PlayoutFrame
from line.playout.pacer import Slot
from line.playout.sender import PlayoutSender
from line.timing import RTP_CLOCK_HZ
from rtc.opus import OpusEncoder
from rtc.receive.decoder import FRAME_MS, VoiceDecoder
from rtc.voice import OpusVoice

RATE_HZ = 24_000
DELTA_S = 0.1
REPLIES = 9
REPLY_S = 400.0
BREATH_S = 0.7
# Each 200th timer is this late, as when something else holds the loop.
LATE_S, HELD_UP_S = 0.004, 0.06
NETWORK_S, JITTER_S = 0.02, 0.005
MINUTE_FRAMES = 3000


class Minutes:
    """Values, one a frame, kept as one a minute so that they are not what grows."""

    def __init__(self, summarise: Callable[[list[float]], float]) -> None:
        self.values: list[float] = []
        self._summarise = summarise
        self._minute: list[float] = []

    def add(self, value: float) -> None:
        """The next frame's."""
        self._minute.append(value)
        if len(self._minute) >= MINUTE_FRAMES:
            self.values.append(self._summarise(self._minute))
            self._minute.clear()


class Hour:
    """A sender and a listener, and what happens to both."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.sender_drift_ms = Minutes(max)
        self.rtp_drift_ms = Minutes(max)
        # How much earlier than at the first frame's pace each frame was there.
        self.early_ms = Minutes(statistics.median)
        self.memory_mb: list[float] = []
        self._random = random.Random(1)
        self._line = PlayoutSender(
            PlayoutBuffer(RATE_HZ),
            on_frame=self._handle_frame,
            on_started=lambda _key: None,
            on_done=lambda _key: None,
        )
        self._encoder = OpusVoice(
            OpusEncoder(RATE_HZ),
            listeners=dict,
            is_heard=lambda: True,
            on_packet=self._handle_packet,
        )
        self._voice = VoiceDecoder(RATE_HZ)
        self._on_the_way: deque[tuple[float, bytes, int]] = deque()
        self._origin: Slot | None = None
        self._reply_began_s = 0.0
        self._sequence_number = 0
        self._listened_since_s: float | None = None
        self._heard_frames = 0
        self._speech = _murmur()

    def run(self) -> None:
        """The whole hour."""
        for reply in range(REPLIES):
            self._talk(reply)
            self._pass(self.now_s + BREATH_S)
            gc.collect()
            self.memory_mb.append(_resident_mb())

    def _talk(self, reply: int) -> None:
        end_s = self.now_s + REPLY_S
        while self.now_s < end_s - DELTA_S / 2:
            at = self._random.randrange(len(self._speech) // 2 - RATE_HZ) * 2
            self._line.buffer.push(reply, self._speech[at : at + int(RATE_HZ * DELTA_S) * 2])
            self._pass(self.now_s + DELTA_S)
        self._line.finish(reply)
        self._pass(self.now_s + 2 * DELTA_S)

    def _pass(self, until_s: float) -> None:
        """Time goes by."""
        while (due_s := self._next_s()) <= until_s:
            self.now_s = max(self.now_s, due_s)
            self._deliver()
            if (next_s := self._line.next_s) is not None and next_s <= self.now_s:
                is_held_up = self._random.random() < 0.005
                late_s = HELD_UP_S if is_held_up else self._random.uniform(0, LATE_S)
                self._line.send(self.now_s + late_s)
                self._line.announce()
        self.now_s = until_s

    def _next_s(self) -> float:
        arrival_s = self._on_the_way[0][0] if self._on_the_way else float("inf")
        times = [self._line.next_s, self._voice.next_s, arrival_s]
        return min(at_s for at_s in times if at_s is not None)

    # -- the sender ---------------------------------------------------------------------------

    def _handle_frame(self, frame: PlayoutFrame, slot: Slot) -> None:
        self._encoder.play(frame, slot)
        if not frame.parts:
            return
        if self._origin is None:
            self._origin = slot
        part = frame.parts[0]
        if part.first_sample == 0:
            self._reply_began_s = slot.due_s
        position_s = part.first_sample / RATE_HZ
        self.sender_drift_ms.add(abs(slot.due_s - self._reply_began_s - position_s) * 1000)
        real_s = slot.due_s - self._origin.due_s
        self.rtp_drift_ms.add(abs(slot.ticks / RTP_CLOCK_HZ - real_s) * 1000)

    def _handle_packet(self, payload: bytes, ticks: int) -> None:
        earliest_s = self._on_the_way[-1][0] if self._on_the_way else 0.0
        arrival_s = self.now_s + NETWORK_S + self._random.uniform(0, JITTER_S)
        self._on_the_way.append((max(arrival_s, earliest_s), payload, ticks))

    # -- the listener -------------------------------------------------------------------------

    def _deliver(self) -> None:
        while self._on_the_way and self._on_the_way[0][0] <= self.now_s:
            _, payload, ticks = self._on_the_way.popleft()
            if self._listened_since_s is None:
                self._voice.buffer.start_filling(self.now_s)
            number, self._sequence_number = self._sequence_number, self._sequence_number + 1
            self._voice.add(7, number % 2**16, ticks % 2**32, payload, self.now_s)
        for _ in self._voice.take(self.now_s):
            self._handle_heard()

    def _handle_heard(self) -> None:
        if self._listened_since_s is None:
            self._listened_since_s = self.now_s
        elapsed_ms = (self.now_s - self._listened_since_s) * 1000
        self.early_ms.add(self._heard_frames * FRAME_MS - elapsed_ms)
        self._heard_frames += 1


def _murmur() -> bytes:
    """Ten seconds of something that costs an encoder what a voice does."""
    rng = np.random.default_rng(3)
    spectrum = np.fft.rfft(rng.normal(0, 1, RATE_HZ * 10))
    hz = np.fft.rfftfreq(RATE_HZ * 10, 1 / RATE_HZ)
    spectrum[(hz < 150) | (hz > 3500)] = 0
    wave = np.fft.irfft(spectrum)
    pcm: bytes = (wave / np.abs(wave).max() * 16_000).astype(np.int16).tobytes()
    return pcm


def _resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6


async def rows() -> list[str]:
    """Every figure of this part."""
    hour = Hour()
    began_s = time.monotonic()
    hour.run()
    took_s = time.monotonic() - began_s
    early_ms = hour.early_ms.values
    # The first reply warms up: code, buffers, the allocator's arenas.
    growth_mb = hour.memory_mb[-1] - hour.memory_mb[0]
    return [
        row("hour: played position against the clock", "ms", hour.sender_drift_ms.values),
        row("hour: RTP time against the clock", "ms", hour.rtp_drift_ms.values),
        row("hour: heard stream, last minute and first", "ms", [abs(early_ms[-1] - early_ms[0])]),
        row(
            "hour: heard stream, each minute and first",
            "ms",
            [abs(e - early_ms[0]) for e in early_ms],
        ),
        row("hour: memory grown", "MB", [growth_mb], digits=2),
        row("hour: took", "s", [took_s]),
    ]

"""Audio of one participant on a line without time stamps: pieces of any length in, frames out.

Each frame of 20 ms is handed on as soon as it is complete, unless it came faster than it was spoken:
what is more than `MAX_AHEAD_S` early waits for its time. While nothing comes, silence takes its place in
real time, so that the end of a turn is noticed.

A sender that goes on in real time while its audio waits is live and behind, for example since it spoke
before the agent was there: its silence is skipped until nothing waits any more. A file that is sent as fast
as the network takes it keeps its silences.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Final

import numpy as np

from line.audio_tap import AudioTap
from line.delivery import Delivery
from line.frames import MAX_WAITING_FRAMES, BatchHandler, PcmAudioFrame
from line.timing import HOLD_PACKETS, PTIME_MS, PTIME_S

MAX_AHEAD_S: Final = 0.3
"""Senders hand over pieces of up to 200 ms, and networks bring several at once."""
MAX_EARLY_S: Final = 30.0
"""Of audio that waits for its time: beyond it the oldest is dropped."""
FILL_AFTER_S: Final = 0.2
"""Without audio: then it is silence, and no longer the network."""


_WINDOW_S: Final = 1.0
# Of real time, over a window, of a sender that is live.
_LIVE_RATES: Final = (0.7, 1.3)
# Of full scale 32767: the noise of a quiet room.
_QUIET_PEAK: Final = 400


@dataclass
class IncomingStatistics:
    """Counts of frames of 20 ms. skipped: silence of a sender that was behind."""

    received: int = 0
    filled: int = 0
    skipped: int = 0
    dropped: int = 0


class IncomingAudio:
    """PCM of `uid` in, frames out. One reader at a time; a slow one loses the oldest frames."""

    def __init__(self, uid: int, sample_rate_hz: int, *, tap: AudioTap | None = None) -> None:
        self.uid = uid
        self.statistics = IncomingStatistics()
        self.last_at_s: float | None = None
        self._rate_hz = sample_rate_hz
        self._frame_bytes = sample_rate_hz * PTIME_MS // 1000 * 2
        self._max_early_bytes = int(sample_rate_hz * MAX_EARLY_S) * 2
        self._tap = tap
        self._loop = asyncio.get_running_loop()
        self._is_subscribed = self._is_closed = False
        # Received and not handed on: less than a frame, or what came too early.
        self._early = bytearray()
        # Everything handed on so far sounds until then.
        self._end_s = float("-inf")
        self._frames: deque[PcmAudioFrame] = deque()
        self._delivery: Delivery[PcmAudioFrame] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._fill_frames = HOLD_PACKETS
        # Windows in which audio came and waited all the time: their begin, and what came.
        self._window_s: float | None = None
        self._window_bytes = 0
        self._is_behind = False

    @property
    def ahead_ms(self) -> float:
        """Audio that came earlier than its time, handed on or not."""
        early_s = len(self._early) / 2 / self._rate_hz
        return max(0.0, self._end_s - self._loop.time() + early_s) * 1000

    def subscribe(self) -> None:
        """Begin to hand on what comes, and what has come already. Idempotent.

        Clients speak as soon as they are connected, which is a moment before somebody listens.
        """
        if not self._is_subscribed:
            self._is_subscribed = True
            if self._early and not self._is_closed:
                self._release(self._loop.time())

    def hold_silence(self, max_frames: int) -> None:
        """Let made-up silence come in batches of so many frames."""
        self._fill_frames = max_frames

    def push(self, pcm: bytes) -> None:
        """Take the next piece of PCM16, which has come now."""
        now_s = self._loop.time()
        self.last_at_s = now_s
        if self._is_closed:
            return
        early = self._early
        self._note_pace(len(pcm), now_s)
        early += pcm
        if (excess := len(early) - self._max_early_bytes) > 0:
            frames = -(-excess // self._frame_bytes)
            del early[: frames * self._frame_bytes]
            self.statistics.dropped += frames
        if self._is_subscribed:
            self._release(now_s)

    def _note_pace(self, size: int, now_s: float) -> None:
        """Notice a sender that is live and behind: of what came before, something waits."""
        if len(self._early) < self._frame_bytes:
            self._window_s, self._is_behind = None, False
        elif self._window_s is None:
            self._window_s, self._window_bytes = now_s, 0
        else:
            self._window_bytes += size
            length_s = now_s - self._window_s
            if length_s >= _WINDOW_S:
                rate = self._window_bytes / 2 / self._rate_hz / length_s
                self._is_behind = _LIVE_RATES[0] <= rate <= _LIVE_RATES[1]
                self._window_s, self._window_bytes = now_s, 0

    async def deliver(self, handle: BatchHandler) -> None:
        """Have `handle` take all that waits, until the participant has left or it returns False."""
        self.subscribe()
        self._delivery = delivery = Delivery(self._frames, handle)
        if self._is_closed:
            delivery.offer()
            delivery.end()
        try:
            await delivery.run()
        finally:
            self._delivery = None

    def close(self) -> None:
        """The participant left; the reader ends after what waits. Idempotent."""
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
        if self._delivery is not None:
            self._delivery.offer()
            self._delivery.end()

    def _release(self, now_s: float) -> None:
        """Hand on what is not too early, and come back for the rest, or for silence."""
        early, size = self._early, self._frame_bytes
        # A piece may be late by as much as silence would wait: the next one makes up for it.
        end_s = max(self._end_s, now_s - FILL_AFTER_S)
        taken = 0
        while len(early) - taken >= size and end_s - now_s <= MAX_AHEAD_S:
            pcm = bytes(early[taken : taken + size])
            taken += size
            self.statistics.received += 1
            if self._is_behind and _is_quiet(pcm):
                self.statistics.skipped += 1
                continue
            self._put(pcm, now_s)
            end_s += PTIME_S
        if taken:
            del early[:taken]
            self._end_s = end_s
            self._hand_on()
        self._arm(now_s)

    def _arm(self, now_s: float) -> None:
        if len(self._early) >= self._frame_bytes:
            wanted_s = self._end_s - MAX_AHEAD_S
        elif self._timer is not None and self._timer.when() > now_s:
            return  # It looks again by itself whether anything came meanwhile.
        else:
            wanted_s = max(self._end_s, now_s - FILL_AFTER_S) + FILL_AFTER_S
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(wanted_s, self._handle_timer)

    def _handle_timer(self) -> None:
        self._timer = None
        now_s = self._loop.time()
        if len(self._early) >= self._frame_bytes:
            self._release(now_s)
        elif now_s - self._end_s >= FILL_AFTER_S - PTIME_S:
            self._fill(now_s)
        else:
            self._arm(now_s)

    def _fill(self, now_s: float) -> None:
        """Silence up to now, after the rest of a frame."""
        self._end_s = max(self._end_s, now_s - FILL_AFTER_S)
        while self._end_s + PTIME_S <= now_s:
            pcm = bytes(self._early) + bytes(self._frame_bytes - len(self._early))
            self._put(pcm, now_s, is_idle=not self._early)
            self._early.clear()
            self.statistics.filled += 1
            self._end_s += PTIME_S
        self._hand_on()
        self._timer = self._loop.call_at(
            now_s + self._fill_frames * PTIME_S, self._handle_fill_timer
        )

    def _handle_fill_timer(self) -> None:
        """Go on with silence, unless sound has come."""
        self._timer = None
        now_s = self._loop.time()
        if now_s - self._end_s >= self._fill_frames * PTIME_S - PTIME_S:
            self._fill(now_s)
        else:
            self._arm(now_s)

    def _put(self, pcm: bytes, now_s: float, *, is_idle: bool = False) -> None:
        if self._tap is not None:
            self._tap.handle_received_audio(self.uid, pcm, now_s)
        if len(self._frames) >= MAX_WAITING_FRAMES:
            self._frames.popleft()
            self.statistics.dropped += 1
        self._frames.append(PcmAudioFrame(pcm, self._rate_hz, self.uid, now_s, is_idle))

    def _hand_on(self) -> None:
        if self._delivery is not None:
            self._delivery.offer()


def _is_quiet(pcm: bytes) -> bool:
    return int(np.abs(np.frombuffer(pcm, np.int16).astype(np.int32)).max()) < _QUIET_PEAK

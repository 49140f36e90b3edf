"""`Ear`: what one participant of an in-process line says, as a stream of frames without gaps."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

from line.audio_tap import AudioTap
from line.frames import MAX_WAITING_FRAMES, BatchHandler, PcmAudioFrame
from line.timing import HOLD_PACKETS, PTIME_S

_GAP_S: Final = 0.1
"""An application that is so late has paused: silence takes the place of its audio."""
_IDLE_AFTER_S: Final = 1.0
"""After so much silence of ours its frames are marked as made up."""


class Ear:
    """Pushed PCM in, frames of 20 ms out. Silence is filled in from the first audio on."""

    def __init__(self, uid: int, sample_rate_hz: int, tap: AudioTap | None) -> None:
        self.dropped = 0
        self.filled = 0
        self.last_audio_s: float | None = None
        self._uid = uid
        self._rate_hz = sample_rate_hz
        self._tap = tap
        self._frame_bytes = int(sample_rate_hz * PTIME_S) * 2
        self._rest = bytearray()
        self._frames: deque[PcmAudioFrame] = deque()
        self._news = asyncio.Event()
        self._readers = 0
        # Set while a reader has handled all that came.
        self._taken = asyncio.Event()
        self._is_closed = False
        # Time at which the next frame is due, if it comes as it is spoken.
        self._due_s = 0.0
        self._filled_s = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._held_frames = 1

    def push(self, pcm: bytes) -> None:
        """Take audio of any length at the line's rate."""
        if self._is_closed:
            return
        loop = asyncio.get_running_loop()
        self.last_audio_s = now_s = loop.time()
        self._filled_s = 0.0
        self._rest += pcm
        self._due_s = max(self._due_s, now_s)
        while len(self._rest) >= self._frame_bytes:
            self._put(bytes(self._rest[: self._frame_bytes]), now_s)
            del self._rest[: self._frame_bytes]
            self._due_s += PTIME_S
        self._arm(self._due_s + _GAP_S)
        self._news.set()

    def hold_silence(self, after_s: float | None, max_frames: int = HOLD_PACKETS) -> None:
        """Fill in silence in batches where that is allowed."""
        self._held_frames = 1 if after_s is None else max_frames

    async def deliver(self, handle: BatchHandler) -> None:
        """Give `handle` all frames that wait, until the participant left or it returns False."""
        self._readers += 1
        try:
            while await self._has_frames():
                batch = list(self._frames)
                self._frames.clear()
                if not await handle(batch):
                    return
        finally:
            self._readers -= 1
            self._taken.set()

    async def until_taken(self) -> None:
        """Return when a reader, if there is one, has handled all audio up to now."""
        if self._rest:
            self.push(bytes(self._frame_bytes - len(self._rest)))
        while self._readers and not self._taken.is_set():
            await self._taken.wait()

    def close(self) -> None:
        """The participant left. Idempotent."""
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
        self._news.set()

    async def _has_frames(self) -> bool:
        while not self._frames:
            self._taken.set()
            if self._is_closed:
                return False
            self._news.clear()
            await self._news.wait()
        return True

    def _fill(self) -> None:
        now_s = asyncio.get_running_loop().time()
        while self._due_s + PTIME_S <= now_s:
            pcm = bytes(self._rest) + bytes(self._frame_bytes - len(self._rest))
            self._rest.clear()
            self._put(pcm, now_s, is_idle=self._filled_s >= _IDLE_AFTER_S)
            self._due_s += PTIME_S
            self._filled_s += PTIME_S
            self.filled += 1
        self._news.set()
        self._arm(self._due_s + self._held_frames * PTIME_S)

    def _arm(self, at_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(at_s, self._fill)

    def _put(self, pcm: bytes, now_s: float, *, is_idle: bool = False) -> None:
        if self._tap is not None:
            self._tap.handle_received_audio(self._uid, pcm, now_s)
        if len(self._frames) >= MAX_WAITING_FRAMES:
            self._frames.popleft()
            self.dropped += 1
        self._taken.clear()
        self._frames.append(PcmAudioFrame(pcm, self._rate_hz, self._uid, now_s, is_idle))

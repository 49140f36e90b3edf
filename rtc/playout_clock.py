"""The clock of the playout: every 20 ms one frame becomes one Opus packet, for all peers at once.

Silence sends nothing and costs nothing: the task then waits for the next push. Audio after a
silence leaves at once. RTP time goes on with real time through silences.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Hashable
from typing import Final

from rtc.opus import OpusEncoder
from rtc.playout import PTIME_MS, PlayoutBuffer, PlayoutFrame, PlayoutPosition
from utils import OwnedTasks, PcmDump

RTP_CLOCK_HZ: Final = 48_000
PTIME_S: Final = PTIME_MS / 1000
PTIME_TICKS: Final = RTP_CLOCK_HZ * PTIME_MS // 1000
# Silent frames after the last audio: Opus holds back 6.5 ms of it, and a decoder that is left in
# the middle of a sound would draw it out.
TAIL_FRAMES: Final = 3
MAX_CATCH_UP_S: Final = 0.2
_DTX_BYTES: Final = 2

logger = logging.getLogger(__name__)


class PlayoutClock:
    """Plays `buffer` through `encoder` while it runs."""

    def __init__(
        self,
        buffer: PlayoutBuffer,
        encoder: OpusEncoder,
        *,
        on_packet: Callable[[bytes, int], None],
        on_started: Callable[[Hashable], None],
        on_done: Callable[[Hashable], None],
        dump: PcmDump | None = None,
    ) -> None:
        """on_packet: gets each Opus packet and its RTP time. No callback may raise or block."""
        self.buffer = buffer
        self.stalls = 0
        self.packets_sent = 0
        self._encoder = encoder
        self._on_packet = on_packet
        self._on_started = on_started
        self._on_done = on_done
        self._dump = dump
        self._wake = asyncio.Event()
        self._tasks = OwnedTasks(logger)
        # When the last frame left (loop time), the RTP time it had, and when the next is due.
        self._last_at_s = float("-inf")
        self._last_ticks = -PTIME_TICKS
        self._origin_s: float | None = None
        self._due_s = 0.0
        # Silent frames still to send; 0 when the line is quiet.
        self._tail_left = 0
        self._is_dtx = False

    def start(self) -> None:
        """Begin to play. Must be called on the loop."""
        self._tasks.start(self._run(), name="playout clock")

    async def close(self) -> None:
        """Stop at once. Idempotent."""
        await self._tasks.close()
        self._encoder.close()
        if self._dump is not None:
            self._dump.close()

    def push(self, key: Hashable, pcm: bytes) -> None:
        """Queue audio; it leaves at once when nothing was playing."""
        self.buffer.push(key, pcm)
        self._wake.set()

    def finish(self, key: Hashable) -> None:
        """No more audio for `key`; `on_done` follows its last sample."""
        if self.buffer.finish(key):
            self._on_done(key)
        self._wake.set()

    def clear(self) -> tuple[PlayoutPosition, ...]:
        """Fall silent now: a 5 ms fade leaves at once, everything else is forgotten."""
        cleared = self.buffer.clear()
        self._end_with(cleared.fade)
        return cleared.positions

    def pause(self) -> None:
        """Fall silent now as `clear` does, and forget nothing."""
        self._end_with(self.buffer.pause())

    def resume(self) -> None:
        """Go on with the very next sample, at once."""
        self.buffer.resume()
        self._wake.set()

    def _end_with(self, fade: bytes | None) -> None:
        if fade is not None:
            self._send(fade)
            self._due_s = self._last_at_s + PTIME_S
            self._tail_left = TAIL_FRAMES
        self._wake.set()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            now_s = loop.time()
            if not (self.buffer.has_frame or self._tail_left):
                await self._wait(None)
            elif now_s < self._due_s and not self._is_audio_after_silence:
                await self._wait(self._due_s)
            else:
                self._advance(now_s)
                self._tick()

    @property
    def _is_audio_after_silence(self) -> bool:
        return self._tail_left < TAIL_FRAMES and self.buffer.has_frame

    def _advance(self, now_s: float) -> None:
        """Set when the next frame is due: exactly one ptime on, unless the line was quiet."""
        late_s = now_s - self._due_s
        is_playing = self._tail_left > 0
        self.stalls += is_playing and late_s > MAX_CATCH_UP_S
        is_paced = is_playing and 0 <= late_s <= MAX_CATCH_UP_S
        self._due_s = (self._due_s if is_paced else now_s) + PTIME_S

    async def _wait(self, until_s: float | None) -> None:
        """Until a push, a finish, a clear, or the time."""
        if until_s is None:
            await self._wake.wait()
        else:
            timer = asyncio.get_running_loop().call_at(until_s, self._wake.set)
            try:
                await self._wake.wait()
            finally:
                timer.cancel()
        self._wake.clear()

    def _tick(self) -> None:
        # An unfinished rest shorter than a frame waits for more, but not for ever.
        frame = self.buffer.take_frame(is_flush=self._tail_left == 1)
        if frame is None:
            self._tail_left -= 1
            self._send(bytes(self.buffer.frame_bytes))
        else:
            self._tail_left = TAIL_FRAMES
            self._send(frame.pcm)
            self._announce(frame)

    def _announce(self, frame: PlayoutFrame) -> None:
        for key in frame.started:
            self._on_started(key)
        for key in frame.done:
            self._on_done(key)

    def _send(self, pcm: bytes) -> None:
        now_s = asyncio.get_running_loop().time()
        if self._origin_s is None:
            self._origin_s = now_s
        ticks = self._last_ticks + PTIME_TICKS
        if now_s - self._last_at_s > 2 * PTIME_S:
            ticks = max(ticks, round((now_s - self._origin_s) * RTP_CLOCK_HZ))
        self._last_ticks, self._last_at_s = ticks, now_s
        if self._dump is not None:
            self._dump.write(pcm)
        packet = self._encoder.encode(pcm)
        # The first packet of a discontinuous transmission tells the decoder; the rest says nothing.
        is_dtx, was_dtx = len(packet) <= _DTX_BYTES, self._is_dtx
        self._is_dtx = is_dtx
        if not (is_dtx and was_dtx):
            self.packets_sent += 1
            self._on_packet(packet, ticks)

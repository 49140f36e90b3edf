"""The clock of the playout: every 20 ms one frame becomes one Opus packet, for all peers at once.

Silence sends nothing and costs nothing: there is no timer then until the next push. Audio after a
silence leaves at once. RTP time goes on with real time through silences.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from typing import Final

from rtc.opus import OpusEncoder
from rtc.playout import PlayoutBuffer, PlayoutFrame, PlayoutPosition
from rtc.playout_pace import Pace, Slot
from utils import PcmDump

# Silent frames after the last audio: Opus holds back 6.5 ms of it, and a decoder that is left in
# the middle of a sound would draw it out.
TAIL_FRAMES: Final = 3
_DTX_BYTES: Final = 2


class PlayoutClock:
    """Plays `buffer` through `encoder` while it runs."""

    def __init__(
        self,
        buffer: PlayoutBuffer,
        encoder: OpusEncoder,
        *,
        on_packet: Callable[[bytes, int], None],
        on_frame: Callable[[PlayoutFrame, Slot], None],
        on_started: Callable[[Hashable], None],
        on_done: Callable[[Hashable], None],
        dump: PcmDump | None = None,
    ) -> None:
        """on_packet: gets each Opus packet and its RTP time; on_frame: what is in each frame with
        audio, and its slot. No callback may raise or block.
        """
        self.buffer = buffer
        self.packets_sent = 0
        self._pace = Pace()
        self._encoder = encoder
        self._on_packet = on_packet
        self._on_frame = on_frame
        self._on_started = on_started
        self._on_done = on_done
        self._dump = dump
        # The loop that we run on, from `start` to `close`.
        self._loop: asyncio.AbstractEventLoop | None = None
        # The next step: a timer, not a task that a timer wakes, which would take a round of the loop
        # more for each frame.
        self._next: asyncio.Handle | None = None
        # Silent frames still to send; 0 when the line is quiet.
        self._tail_left = 0
        self._is_dtx = False

    @property
    def stalls(self) -> int:
        """Times when speech stood still for over 0.2 s because we had no time to send it."""
        return self._pace.stalls

    def start(self) -> None:
        """Begin to play. Must be called on the loop."""
        self._loop = asyncio.get_running_loop()
        self._wake()

    async def close(self) -> None:
        """Stop at once. Idempotent."""
        self._loop = None
        if self._next is not None:
            self._next.cancel()
        self._encoder.close()
        if self._dump is not None:
            self._dump.close()

    def push(self, key: Hashable, pcm: bytes) -> None:
        """Queue audio; it leaves at once when nothing was playing."""
        self.buffer.push(key, pcm)
        self._wake()

    def finish(self, key: Hashable) -> None:
        """No more audio for `key`; `on_done` follows its last sample."""
        if self.buffer.finish(key):
            self._on_done(key)
        self._wake()

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
        self._wake()

    def _end_with(self, fade: PlayoutFrame | None) -> None:
        if fade is not None:
            self._send(fade)
            self._tail_left = TAIL_FRAMES
        self._wake()

    def _wake(self) -> None:
        """See soon what there is to send, unless the time for that is set already."""
        if self._next is None and self._loop is not None:
            self._next = self._loop.call_soon(self._step, self._loop)

    def _step(self, loop: asyncio.AbstractEventLoop) -> None:
        """Send what is due, and come back when more is."""
        self._next = None
        while self.buffer.has_frame or self._tail_left:
            if loop.time() < self._pace.due_s:
                self._next = loop.call_at(self._pace.due_s, self._step, loop)
                return
            self._tick()
        self._pace.stop()

    def _tick(self) -> None:
        frame = self.buffer.take_frame()
        if frame is not None:
            self._tail_left = TAIL_FRAMES
        else:
            frame = self._take_bridge()
            self._tail_left -= 1
        self._send(frame or self._silence)
        if frame is not None:
            self._announce(frame)

    def _take_bridge(self) -> PlayoutFrame | None:
        """A gap is bridged as it begins; what came since, and is no frame, leaves as it ends."""
        if self._tail_left not in (TAIL_FRAMES, 1):
            return None
        return self.buffer.take_bridge(is_flush=self._tail_left == 1)

    @property
    def _silence(self) -> PlayoutFrame:
        return PlayoutFrame(bytes(self.buffer.frame_bytes))

    def _announce(self, frame: PlayoutFrame) -> None:
        for key in frame.started:
            self._on_started(key)
        for key in frame.done:
            self._on_done(key)

    def _send(self, frame: PlayoutFrame) -> None:
        slot = self._pace.take(asyncio.get_running_loop().time())
        if self._dump is not None:
            self._dump.write(frame.pcm)
        packet = self._encoder.encode(frame.pcm)
        # The first packet of a discontinuous transmission tells the decoder; the rest says nothing.
        is_dtx, was_dtx = len(packet) <= _DTX_BYTES, self._is_dtx
        self._is_dtx = is_dtx
        if not (is_dtx and was_dtx):
            self.packets_sent += 1
            self._on_packet(packet, slot.ticks)
        if frame.parts:
            self._on_frame(frame, slot)

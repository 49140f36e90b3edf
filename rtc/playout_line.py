"""The line on which our voice leaves: frames become Opus packets, in step. Pure: time is an argument.

Silence sends nothing. Audio after a silence leaves at once. RTP time goes on with real time through
silences. The clock that calls `tick` is `playout_clock.py`.
"""

from __future__ import annotations

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


class PlayoutLine:
    """Plays `buffer` through `encoder`, one frame each time that `next_s` has come."""

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
        # Silent frames still to send; 0 when the line is quiet.
        self._tail_left = 0
        self._is_dtx = False

    @property
    def is_quiet(self) -> bool:
        """Nothing leaves, nor is about to."""
        return not (self.buffer.has_frame or self._tail_left)

    @property
    def next_s(self) -> float | None:
        """When the next frame is due, maybe long ago; None while the line is quiet."""
        return None if self.is_quiet else self._pace.due_s

    @property
    def stalls(self) -> int:
        """Times when speech stood still for over 0.2 s because we had no time to send it."""
        return self._pace.stalls

    def finish(self, key: Hashable) -> None:
        """No more audio for `key`; `on_done` follows its last sample."""
        if self.buffer.finish(key):
            self._on_done(key)

    def clear(self, now_s: float) -> tuple[PlayoutPosition, ...]:
        """Fall silent now: a 5 ms fade leaves at once, everything else is forgotten."""
        cleared = self.buffer.clear()
        self._end_with(cleared.fade, now_s)
        return cleared.positions

    def pause(self, now_s: float) -> None:
        """Fall silent now as `clear` does, and forget nothing."""
        self._end_with(self.buffer.pause(), now_s)

    def tick(self, now_s: float) -> float | None:
        """Send one frame: of audio, of what bridges a gap in it, or of the silence after it. Returns
        `next_s`.
        """
        frame = self.buffer.take_frame()
        if frame is not None:
            self._tail_left = TAIL_FRAMES
        else:
            frame = self._take_bridge()
            self._tail_left -= 1
        self._send(frame or PlayoutFrame(bytes(self.buffer.frame_bytes)), now_s)
        if frame is not None:
            self._announce(frame)
        if self.is_quiet:
            self._pace.stop()
            return None
        return self._pace.due_s

    def close(self) -> None:
        """Free the encoder, end the dump. Idempotent."""
        self._encoder.close()
        if self._dump is not None:
            self._dump.close()

    def _end_with(self, fade: PlayoutFrame | None, now_s: float) -> None:
        if fade is not None:
            self._send(fade, now_s)
            self._tail_left = TAIL_FRAMES

    def _take_bridge(self) -> PlayoutFrame | None:
        """A gap is bridged as it begins; what came since, and is no frame, leaves as it ends."""
        if self._tail_left not in (TAIL_FRAMES, 1):
            return None
        return self.buffer.take_bridge(is_flush=self._tail_left == 1)

    def _announce(self, frame: PlayoutFrame) -> None:
        for key in frame.started:
            self._on_started(key)
        for key in frame.done:
            self._on_done(key)

    def _send(self, frame: PlayoutFrame, now_s: float) -> None:
        slot = self._pace.take(now_s)
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

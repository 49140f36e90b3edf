"""The line on which our voice leaves: frames in step. Pure: time is an argument.

Silence sends nothing. Audio after a silence leaves at once. The clock that calls `send` is `clock.py`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable
from typing import Final

from audio import PcmDump
from line.playout.buffer import PlayoutBuffer, PlayoutFrame, PlayoutPosition
from line.playout.pacer import FramePacer, Slot
from line.sounds.bed import SoundBed

# Silent frames after the last audio: codecs hold back some of it (Opus 6.5 ms), and a decoder that is
# left in the middle of a sound would draw it out.
TAIL_FRAMES: Final = 3


class PlayoutSender:
    """Plays `buffer`, one frame each time that `next_s` has come."""

    def __init__(
        self,
        buffer: PlayoutBuffer,
        *,
        on_frame: Callable[[PlayoutFrame, Slot], None],
        on_started: Callable[[Hashable], None],
        on_done: Callable[[Hashable], None],
        dump: PcmDump | None = None,
        bed: SoundBed | None = None,
    ) -> None:
        """on_frame: gets each frame that leaves, silent ones included, and its slot. No callback may
        raise or block. bed: sounds that leave with the voice, and without it
        """
        self.buffer = buffer
        self._bed = bed or SoundBed(buffer.sample_rate_hz)
        # Of the voice, with the silence that ends it.
        self.frames_sent = 0
        self._pacer = FramePacer()
        self._on_frame = on_frame
        self._on_started = on_started
        self._on_done = on_done
        self._dump = dump
        # What left and is not announced yet.
        self._unannounced: deque[PlayoutFrame] = deque()
        # Silent frames still to send; 0 when the line is quiet.
        self._tail_left = 0

    @property
    def is_quiet(self) -> bool:
        """Nothing leaves, nor is about to."""
        return not (self.buffer.has_frame or self._tail_left or self._bed.is_active)

    @property
    def next_s(self) -> float | None:
        """The due time of the next frame, possibly in the past; None in silence."""
        return None if self.is_quiet else self._pacer.due_s

    @property
    def stalls(self) -> int:
        """Times when speech stood still for over 0.2 s because we had no time to send it."""
        return self._pacer.stalls

    def finish(self, key: Hashable) -> None:
        """No more audio for `key`; `on_done` follows its last sample."""
        self.announce()
        if self.buffer.finish(key):
            self._on_done(key)

    def clear(self, now_s: float) -> tuple[PlayoutPosition, ...]:
        """Fall silent now: a 5 ms fade leaves at once, everything else is forgotten."""
        self.announce()
        cleared = self.buffer.clear()
        self._end_with(cleared.fade, now_s)
        return cleared.positions

    def pause(self, now_s: float) -> None:
        """Fall silent now as `clear` does, and forget nothing."""
        self.announce()
        self._end_with(self.buffer.pause(), now_s)

    def send(self, now_s: float) -> float | None:
        """Send one frame: of audio, of what bridges a gap in it, or of the silence after it. Returns
        `next_s`; `announce` is to follow, soon.
        """
        # What leaves for the sake of other sounds alone is none of ours.
        self.frames_sent += self.buffer.has_frame or self._tail_left > 0
        frame = self.buffer.take_frame()
        if frame is not None:
            self._tail_left = TAIL_FRAMES
        else:
            frame = self._take_bridge()
            self._tail_left = max(0, self._tail_left - 1)
        self._send(frame or PlayoutFrame(bytes(self.buffer.frame_bytes)), now_s)
        if frame is not None and (frame.started or frame.done):
            self._unannounced.append(frame)
        if self.is_quiet:
            self._pacer.stop()
            return None
        return self._pacer.due_s

    def announce(self) -> None:
        """Call `on_started` and `on_done` for what has left since."""
        while self._unannounced:
            frame = self._unannounced.popleft()
            for key in frame.started:
                self._on_started(key)
            for key in frame.done:
                self._on_done(key)

    def close(self) -> None:
        """End the dump. Idempotent."""
        if self._dump is not None:
            self._dump.close()

    def _end_with(self, fade: PlayoutFrame | None, now_s: float) -> None:
        if fade is not None:
            self.frames_sent += 1
            self._send(fade, now_s)
            self._tail_left = TAIL_FRAMES

    def _take_bridge(self) -> PlayoutFrame | None:
        """A gap is bridged as it begins; what came since, and is no frame, leaves as it ends."""
        if self._tail_left not in (TAIL_FRAMES, 1):
            return None
        return self.buffer.take_bridge(is_flush=self._tail_left == 1)

    def _send(self, frame: PlayoutFrame, now_s: float) -> None:
        slot = self._pacer.take(now_s)
        if self._bed.is_active:
            mixed = self._bed.mix(frame.pcm, has_voice=bool(frame.parts))
            frame = frame._replace(pcm=mixed, voice=frame.pcm)
        if self._dump is not None:
            self._dump.write(frame.pcm)
        self._on_frame(frame, slot)

"""The playout buffer: the audio to send next, and the amount of each reply that was sent. Pure.

Audio waits in segments, one per key (for an agent: response, item, content part), played in the
order in which their keys first appeared. The clock that takes frames is `clock.py`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from line.timing import PTIME_MS

FADE_MS: Final = 5
MAX_QUEUED_S: Final = 600
_SAMPLE_BYTES: Final = 2


@dataclass(frozen=True)
class PlayoutPosition:
    """The part of `key` that was sent, and the part of it not heard yet by every listener.

    is_complete: all of it left, and no more was to come.
    """

    key: Hashable
    played_samples: int
    sample_rate_hz: int
    is_complete: bool = False
    in_flight_samples: int = 0

    @property
    def played_ms(self) -> float:
        """Milliseconds of this key's audio that left us."""
        return self.played_samples * 1000 / self.sample_rate_hz

    @property
    def heard_ms(self) -> float:
        """Milliseconds of this key's audio that sounded at the listener."""
        return (self.played_samples - self.in_flight_samples) * 1000 / self.sample_rate_hz


class FramePart(NamedTuple):
    """Consecutive samples of one key inside a frame, from `first_sample` of the key on.

    offset: their place in the frame.
    """

    key: Hashable
    first_sample: int
    offset: int
    samples: int


class PlayoutFrame(NamedTuple):
    """One frame to send, what it consists of, and the keys whose first or last sample is in it.

    voice: the agent's part of `pcm`, where other sounds are mixed with it
    """

    pcm: bytes
    parts: tuple[FramePart, ...] = ()
    started: tuple[Hashable, ...] = ()
    done: tuple[Hashable, ...] = ()
    voice: bytes | None = None


@dataclass(frozen=True)
class Cleared:
    """Result of `clear`: the position of each dropped key, and the fade to send instead of a click."""

    positions: tuple[PlayoutPosition, ...]
    fade: PlayoutFrame | None


@dataclass
class PlayoutStatistics:
    """Counts since the start. Underrun: audio ran out though more of its key was to come."""

    played_samples: int = 0
    overrun_samples: int = 0
    underruns: int = 0
    clears: int = 0


@dataclass
class _Segment:
    key: Hashable
    pcm: bytearray = field(default_factory=bytearray)
    played_samples: int = 0
    is_finished: bool = False


class PlayoutBuffer:
    """Keyed mono PCM16 in, frames of `PTIME_MS` out."""

    def __init__(self, sample_rate_hz: int, *, max_queued_s: float = MAX_QUEUED_S) -> None:
        """max_queued_s: what is pushed beyond this is dropped and counted as overrun."""
        self.sample_rate_hz = sample_rate_hz
        self.frame_bytes = sample_rate_hz * PTIME_MS // 1000 * _SAMPLE_BYTES
        self._max_bytes = int(sample_rate_hz * max_queued_s) * _SAMPLE_BYTES
        self._segments: deque[_Segment] = deque()
        self._queued_bytes = 0
        self._is_paused = False
        # What left last ended with a fade, so what follows it begins with one.
        self._has_faded = False
        # The last 5 ms that left: a gap is bridged with their mirror image.
        self._last = b""
        self.statistics = PlayoutStatistics()

    @property
    def queued_ms(self) -> float:
        """Audio that waits."""
        return self._queued_bytes / _SAMPLE_BYTES * 1000 / self.sample_rate_hz

    @property
    def has_frame(self) -> bool:
        """True if a whole frame may leave, or the padded last one of finished audio."""
        if self._is_paused:
            return False
        if self._queued_bytes >= self.frame_bytes:
            return True
        return self._queued_bytes > 0 and self._segments[-1].is_finished

    @property
    def is_expecting(self) -> bool:
        """True if a key that has begun is not finished yet."""
        return any(not s.is_finished and s.played_samples for s in self._segments)

    @property
    def position(self) -> PlayoutPosition | None:
        """The position of the key that plays now."""
        if not self._segments or not self._segments[0].played_samples:
            return None
        return self._position_of(self._segments[0])

    def push(self, key: Hashable, pcm: bytes) -> None:
        """Queue audio at the end of `key`.

        Raises:
            ValueError: `pcm` is not a whole number of 16-bit samples.
        """
        if len(pcm) % _SAMPLE_BYTES:
            raise ValueError("PCM16 needs an even number of bytes")
        room = self._max_bytes - self._queued_bytes
        if len(pcm) > room:
            self.statistics.overrun_samples += (len(pcm) - room) // _SAMPLE_BYTES
            pcm = pcm[:room]
        if pcm:
            self._segment(key).pcm += pcm
            self._queued_bytes += len(pcm)

    def finish(self, key: Hashable) -> bool:
        """No more audio for `key`. True when all of it has left already, so it is done now."""
        segment = next((s for s in self._segments if s.key == key), None)
        if segment is None:
            return False
        segment.is_finished = True
        if segment.pcm:
            return False
        if segment is self._segments[0]:
            self._has_faded = False
        self._segments.remove(segment)
        return True

    def take_frame(self) -> PlayoutFrame | None:
        """The next frame; None when there is none."""
        if not self.has_frame:
            return None
        segment = self._segments[0]
        is_in_the_middle = segment.played_samples > 0 and not self._has_faded
        if is_in_the_middle and len(segment.pcm) > self.frame_bytes:
            # Nearly every frame: as it is.
            pcm = self._take(segment, self.frame_bytes)
            self._last = pcm[-self._fade_bytes :]
            return PlayoutFrame(pcm, (self._part(segment, pcm, offset_bytes=0),))
        return self._take_upto(self.frame_bytes)

    def take_bridge(self, *, is_flush: bool = False) -> PlayoutFrame | None:
        """Return the audio to send after an underrun in the middle of a key: its rest and a fade.

        The fade mirrors the last 5 ms and counts as nothing; what follows is faded in. None when
        the key is at its end, or the gap has its fade already. is_flush: begin a key with a rest
        that is shorter than a frame.
        """
        is_needed = bool(self._queued_bytes) if self._has_faded else self.is_expecting
        if self._is_paused or not (is_needed or (is_flush and self._queued_bytes)):
            return None
        self.statistics.underruns += self.is_expecting
        frame = self._take_upto(self.frame_bytes - self._fade_bytes)
        rest = sum(part.samples for part in frame.parts) * _SAMPLE_BYTES
        self._has_faded = True
        return frame._replace(pcm=self._padded(frame.pcm[:rest] + self._mirror()))

    def _take_upto(self, limit: int) -> PlayoutFrame:
        pcm = bytearray()
        parts: list[FramePart] = []
        started: list[Hashable] = []
        done: list[Hashable] = []
        while self._segments and len(pcm) < limit:
            segment = self._segments[0]
            if segment.pcm and not segment.played_samples:
                started.append(segment.key)
            taken = self._take(segment, limit - len(pcm))
            parts.append(self._part(segment, taken, offset_bytes=len(pcm)))
            pcm += taken
            if segment.pcm or not (segment.is_finished or len(self._segments) > 1):
                break
            # An unfinished key with a successor is over too: keys never interleave.
            done.append(self._segments.popleft().key)
        pcm += bytes(self.frame_bytes - len(pcm))
        audio = self._faded_in(pcm)
        end = sum(part.samples for part in parts) * _SAMPLE_BYTES
        self._last = (self._last + audio[:end])[-self._fade_bytes :]
        return PlayoutFrame(audio, tuple(parts), tuple(started), tuple(done))

    @staticmethod
    def _part(segment: _Segment, taken: bytes, *, offset_bytes: int) -> FramePart:
        samples = len(taken) // _SAMPLE_BYTES
        first_sample = segment.played_samples - samples
        return FramePart(segment.key, first_sample, offset_bytes // _SAMPLE_BYTES, samples)

    def pause(self) -> PlayoutFrame | None:
        """Let nothing leave until `resume`, except the returned fade of what is being heard.

        The faded samples count as played: what follows the pause is the very next sample.
        """
        if self._is_paused:
            return None
        self._is_paused = True
        if self.position is None or self._has_faded:
            return None
        self._has_faded = True
        # A rest as short as the fade is kept whole: its key is done when it leaves, not before.
        if len(self._segments[0].pcm) <= self._fade_bytes:
            return PlayoutFrame(self._padded(self._mirror()))
        return self._fade_out()

    def resume(self) -> None:
        """Go on exactly where `pause` stopped; without a pause nothing happens."""
        self._is_paused = False

    def clear(self) -> Cleared:
        """Forget everything that waits, except a fade of what is being heard right now."""
        self.statistics.clears += 1
        is_heard = self.position is not None and not (self._is_paused or self._has_faded)
        fade = self._fade_out() if is_heard else None
        self._is_paused = self._has_faded = False
        positions = tuple(self._position_of(segment) for segment in self._segments)
        self._segments.clear()
        self._queued_bytes = 0
        return Cleared(positions, fade)

    @property
    def _fade_bytes(self) -> int:
        return self.sample_rate_hz * FADE_MS // 1000 * _SAMPLE_BYTES

    def _faded_in(self, pcm: bytearray) -> bytes:
        if not self._has_faded:
            return bytes(pcm)
        self._has_faded = False
        audio = np.frombuffer(pcm, np.int16).copy()
        samples = self._fade_bytes // _SAMPLE_BYTES
        audio[:samples] = audio[:samples] * np.linspace(0.0, 1.0, samples)
        return audio.tobytes()

    def _fade_out(self) -> PlayoutFrame:
        segment = self._segments[0]
        rest = self._take(segment, self._fade_bytes)
        if not rest:
            return PlayoutFrame(self._padded(self._mirror()))
        part = self._part(segment, rest, offset_bytes=0)
        return PlayoutFrame(self._padded(_faded(np.frombuffer(rest, np.int16))), (part,))

    def _mirror(self) -> bytes:
        """A fade where there is nothing left to fade: of the last 5 ms, backwards."""
        return _faded(np.frombuffer(self._last, np.int16)[::-1])

    def _padded(self, pcm: bytes) -> bytes:
        return pcm + bytes(self.frame_bytes - len(pcm))

    def _take(self, segment: _Segment, size: int) -> bytes:
        taken = bytes(segment.pcm[:size])
        del segment.pcm[:size]
        samples = len(taken) // _SAMPLE_BYTES
        segment.played_samples += samples
        self._queued_bytes -= len(taken)
        self.statistics.played_samples += samples
        return taken

    def _segment(self, key: Hashable) -> _Segment:
        for segment in reversed(self._segments):
            if segment.key == key:
                return segment
        segment = _Segment(key)
        self._segments.append(segment)
        return segment

    def _position_of(self, segment: _Segment) -> PlayoutPosition:
        is_complete = segment.is_finished and not segment.pcm
        return PlayoutPosition(
            segment.key, segment.played_samples, self.sample_rate_hz, is_complete
        )


def _faded(audio: npt.NDArray[np.int16]) -> bytes:
    return (audio * np.linspace(1.0, 0.0, len(audio))).astype(np.int16).tobytes()

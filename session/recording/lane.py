"""Places the frames of one voice on the timeline. Pure: positions are samples.

Frames come in bursts and a little late while the voice itself is continuous, so a frame within a
tolerance joins the one before. A gap beyond it is silence. The clock of a voice may be faster or
slower than this one: once a second of frames is early (or late) altogether, a quiet one is dropped
(or silence put before it), and a voice that never pauses is corrected when it reaches the
tolerance.
"""

from __future__ import annotations

from collections import deque
from typing import Final

import numpy as np

# Lateness that is jitter, not drift of a clock.
SLACK_MS: Final = 60
# One second of frames.
_WINDOW_FRAMES: Final = 50
# Peak below which a frame can be dropped unheard (about -41 dBFS).
_QUIET_PEAK: Final = 300


class Lane:
    """Places one voice. end: the sample after its last one."""

    def __init__(self, sample_rate_hz: int, *, tolerance_ms: int) -> None:
        """tolerance_ms: the most that a frame may be off its time"""
        self.end: int | None = None
        self._tolerance = sample_rate_hz * tolerance_ms // 1000
        self._slack = sample_rate_hz * SLACK_MS // 1000
        # Lateness of the last frames against their places, in samples.
        self._lateness: deque[int] = deque(maxlen=_WINDOW_FRAMES)

    def place(self, pcm: bytes, at: int) -> int | None:
        """Return the first sample of a frame that was heard at `at`; None: the frame is dropped."""
        start = at if self.end is None else self._start(pcm, self.end, at)
        if start is not None:
            self.end = start + len(pcm) // 2
        return start

    def _start(self, pcm: bytes, end: int, at: int) -> int | None:
        late = at - end
        if late > self._tolerance:
            self._lateness.clear()
            return at
        if late < -self._tolerance:
            self._lateness.clear()
            return None
        self._lateness.append(late)
        if len(self._lateness) < _WINDOW_FRAMES or not self._is_off or not _is_quiet(pcm):
            return end
        least = min(self._lateness)
        self._lateness.clear()
        return end + least if least > 0 else None

    @property
    def _is_off(self) -> bool:
        return min(self._lateness) > self._slack or max(self._lateness) < -self._slack


def _is_quiet(pcm: bytes) -> bool:
    return int(np.abs(np.frombuffer(pcm, np.int16).astype(np.int32)).max(initial=0)) < _QUIET_PEAK

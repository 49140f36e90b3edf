"""Where each frame of one voice belongs on the timeline. Pure: positions are samples.

Frames come in bursts and a little late while the voice itself is continuous, so what comes within a
tolerance joins what was before. A gap beyond it is silence. The clock of a voice may be faster or
slower than ours: once a second of frames is early (or late) altogether, a quiet one is left out (or
silence put before it), and a voice that never pauses is corrected when it reaches the tolerance.
"""

from __future__ import annotations

from collections import deque
from typing import Final

import numpy as np

SLACK_MS: Final = 60
_WINDOW_FRAMES: Final = 50
_QUIET_PEAK: Final = 300


class Lane:
    """Places one voice. end: the sample after its last one."""

    def __init__(self, sample_rate_hz: int, *, tolerance_ms: int) -> None:
        """tolerance_ms: how far a frame may be from its time at most."""
        self.end: int | None = None
        self._tolerance = sample_rate_hz * tolerance_ms // 1000
        self._slack = sample_rate_hz * SLACK_MS // 1000
        # How much later than their places the last frames came.
        self._lateness: deque[int] = deque(maxlen=_WINDOW_FRAMES)

    def place(self, pcm: bytes, at: int) -> int | None:
        """The first sample of a frame that was heard at `at`; None: it is left out."""
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

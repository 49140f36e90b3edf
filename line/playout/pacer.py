"""Send time and RTP time of each frame. Pure: time is an argument.

Frames of one talk-spurt stand on a grid of exactly one ptime that begins when its first frame
leaves, so that nothing adds up over a long call: a frame that leaves late does not move the ones
after it. RTP time follows the grid inside a spurt, and real time from one spurt to the next.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from line.timing import PTIME_S, PTIME_TICKS, RTP_CLOCK_HZ

MAX_CATCH_UP_S: Final = 0.2


class Slot(NamedTuple):
    """The place of one frame: `due_s` on the caller's clock, `ticks` in 1/48000 s."""

    due_s: float
    ticks: int


class FramePacer:
    """Gives each frame its slot."""

    def __init__(self) -> None:
        # Times when the line had to begin a new grid in the middle of speech.
        self.stalls = 0
        self._is_running = False
        # RTP time 0 is here.
        self._origin_s: float | None = None
        self._spurt_s = float("-inf")
        self._spurt_frames = 0
        self._next_ticks = 0

    @property
    def is_running(self) -> bool:
        """True during a talk-spurt."""
        return self._is_running

    @property
    def due_s(self) -> float:
        """The due time of the next frame: the end of the one before it; after a silence, at once."""
        return self._spurt_s + self._spurt_frames * PTIME_S

    def take(self, now_s: float) -> Slot:
        """The slot for a frame that leaves now; one that comes early takes the next slot."""
        is_stalled = self._is_running and now_s - self.due_s > MAX_CATCH_UP_S
        self.stalls += is_stalled
        if is_stalled or not self._is_running:
            self._begin_spurt(max(now_s, self.due_s))
        slot = Slot(self.due_s, self._next_ticks)
        self._spurt_frames += 1
        self._next_ticks += PTIME_TICKS
        return slot

    def stop(self) -> None:
        """The line falls quiet."""
        self._is_running = False

    def _begin_spurt(self, at_s: float) -> None:
        if self._origin_s is None:
            self._origin_s = at_s
        real_ticks = round((at_s - self._origin_s) * RTP_CLOCK_HZ)
        self._next_ticks = max(self._next_ticks, real_ticks)
        self._is_running = True
        self._spurt_s, self._spurt_frames = at_s, 0

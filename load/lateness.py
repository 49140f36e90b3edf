"""Lateness of the frames of a stream that should come every 20 ms. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

LATE_S: Final = 0.020


@dataclass
class Lateness:
    """Counts frames that come more than 20 ms later, against the stream's own time, than the
    quickest of all so far.
    """

    frames: int = 0
    late: int = 0
    worst_s: float = 0.0
    _quickest_s: float = float("inf")

    def add(self, stream_s: float, now_s: float, frames: int = 1) -> float:
        """Take frames that belong at `stream_s` of the stream and came now; return their lateness in
        seconds.
        """
        transit_s = now_s - stream_s
        self._quickest_s = min(self._quickest_s, transit_s)
        late_s = transit_s - self._quickest_s
        self.frames += frames
        self.late += frames * (late_s > LATE_S)
        self.worst_s = max(self.worst_s, late_s)
        return late_s

    def add_lost(self, frames: int) -> None:
        """Frames that never came."""
        self.frames += frames
        self.late += frames

    @property
    def late_percent(self) -> float | None:
        """Of all frames; None when there were none, of which nothing can be said."""
        return 100 * self.late / self.frames if self.frames else None


def late_percents(streams: Sequence[Lateness]) -> list[float]:
    """Of each stream that had a frame."""
    return [share for each in streams if (share := each.late_percent) is not None]

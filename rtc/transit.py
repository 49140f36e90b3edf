"""How long packets travel: the quickest seen lately, and what nearly all need beyond it. Pure.

The estimate is that of WebRTC's NetEq (`relative_arrival_delay_tracker.cc`, `delay_manager.cc`): each
packet's delay relative to the quickest of a recent window, and a high quantile of these. NetEq keeps
a histogram that forgets; a sliding window of exact values is as cheap here and forgets completely.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from typing import Final

WINDOW_PACKETS: Final = 250
QUANTILE: Final = 0.97


class _Window:
    """The last values, in order of size too."""

    def __init__(self) -> None:
        self._recent: deque[int] = deque()
        self.ordered: list[int] = []

    def add(self, value: int) -> None:
        if len(self._recent) >= WINDOW_PACKETS:
            del self.ordered[bisect_left(self.ordered, self._recent.popleft())]
        self._recent.append(value)
        insort(self.ordered, value)


class TransitTracker:
    """Transit times in any unit and from any origin: arrival on our clock minus the sender's stamp.

    Only differences matter, so neither the origin of the clocks nor a slow drift between them does.
    """

    def __init__(self) -> None:
        self._transits = _Window()
        self._lateness = _Window()

    def __bool__(self) -> bool:
        return bool(self._transits.ordered)

    def add(self, transit: int) -> None:
        """Take one packet's transit time."""
        self._transits.add(transit)
        # Against the quickest known by now: a way that became quicker makes nothing late.
        self._lateness.add(transit - self.quickest)

    def clear(self) -> None:
        """Forget everything: the sender's clock or the way is another one."""
        self._transits, self._lateness = _Window(), _Window()

    @property
    def quickest(self) -> int:
        """The shortest transit of the window. Call with at least one packet."""
        return self._transits.ordered[0]

    @property
    def spread(self) -> int:
        """Within this much after the quickest nearly all packets came; 0 before the first."""
        ordered = self._lateness.ordered
        return ordered[int(QUANTILE * (len(ordered) - 1))] if ordered else 0

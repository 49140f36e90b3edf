"""Network delay of packets: the quickest seen lately, and a high quantile of the excess. Pure.

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


class NetworkDelayTracker:
    """Transit times in any unit and from any origin: arrival on our clock minus the sender's stamp.

    Only differences matter, so neither the origin of the clocks nor a slow drift between them does.
    """

    def __init__(self) -> None:
        self._transits = _Window()
        self._lateness = _Window()
        # The shortest transit of the window; of no meaning before the first packet.
        self.quickest = 0
        # Within this much after the quickest nearly all packets came; 0 before the first.
        self.spread = 0

    def __bool__(self) -> bool:
        return bool(self._transits.ordered)

    def add(self, transit: int) -> None:
        """Take one packet's transit time."""
        transits, lateness = self._transits, self._lateness
        transits.add(transit)
        self.quickest = transits.ordered[0]
        # Against the quickest known by now: a way that became quicker makes nothing late.
        lateness.add(transit - self.quickest)
        ordered = lateness.ordered
        self.spread = ordered[int(QUANTILE * (len(ordered) - 1))]

    def clear(self) -> None:
        """Forget everything: the sender's clock or the way is another one."""
        self._transits, self._lateness = _Window(), _Window()
        self.quickest = self.spread = 0

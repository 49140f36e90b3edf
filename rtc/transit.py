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


class TransitTracker:
    """Transit times in any unit and from any origin: arrival on our clock minus the sender's stamp.

    Only differences matter, so neither the origin of the clocks nor a slow drift between them does.
    """

    def __init__(self) -> None:
        self._recent: deque[int] = deque()
        self._sorted: list[int] = []

    def __bool__(self) -> bool:
        return bool(self._recent)

    def add(self, transit: int) -> None:
        """Take one packet's transit time."""
        if len(self._recent) >= WINDOW_PACKETS:
            del self._sorted[bisect_left(self._sorted, self._recent.popleft())]
        self._recent.append(transit)
        insort(self._sorted, transit)

    def clear(self) -> None:
        """Forget everything: the sender's clock or the way is another one."""
        self._recent.clear()
        self._sorted.clear()

    @property
    def quickest(self) -> int:
        """The shortest transit of the window. Call with at least one packet."""
        return self._sorted[0]

    @property
    def spread(self) -> int:
        """Within this much after the quickest nearly all packets come; 0 before the first."""
        if not self._sorted:
            return 0
        return self._sorted[int(QUANTILE * (len(self._sorted) - 1))] - self._sorted[0]

"""How often and how much at once: pure, bounded tables; time is an argument (monotonic)."""

from __future__ import annotations

from collections import Counter, OrderedDict
from typing import Final

from rtc.rate_limit import RateLimit

MAX_REMEMBERED: Final = 10_000
"""Of more askers the one that was quiet longest is forgotten, and begins anew."""

BURST_S: Final = 10.0
"""After a pause so many seconds' worth may come at once."""

MIN_BURST: Final = 60
"""A page with all its files is one click."""


class Throttle:
    """A token bucket for each asker."""

    def __init__(self, per_s: float) -> None:
        self._per_s = per_s
        self._burst = max(MIN_BURST, int(per_s * BURST_S))
        self._buckets: OrderedDict[str, RateLimit] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def wait_s(self, who: str, *, now_s: float) -> float:
        """Count a request of `who`; 0, or, when it is one too many, how long to wait with it."""
        bucket = self._bucket(who)
        return 0.0 if bucket.allow(now_s) else bucket.wait_s()

    def charge(self, who: str, cost: int) -> None:
        """Let `who` pay for what turned out to be no honest request."""
        self._bucket(who).charge(cost)

    def _bucket(self, who: str) -> RateLimit:
        bucket = self._buckets.get(who)
        if bucket is None:
            bucket = self._buckets[who] = RateLimit(self._per_s, self._burst)
            if len(self._buckets) > MAX_REMEMBERED:
                self._buckets.popitem(last=False)
        self._buckets.move_to_end(who)
        return bucket


class OpenRequests:
    """Counts requests that are being answered: sockets and event streams are so for long."""

    def __init__(self, limit: int, limit_each: int) -> None:
        self._limit = limit
        self._limit_each = limit_each
        self._open: Counter[str] = Counter()
        self._total = 0

    @property
    def is_full(self) -> bool:
        """Whether nobody else can be served."""
        return self._total >= self._limit

    def is_enough(self, who: str) -> bool:
        """Whether this asker has as many as it may."""
        return self._open[who] >= self._limit_each

    def enter(self, who: str) -> None:
        """One more is open."""
        self._open[who] += 1
        self._total += 1

    def leave(self, who: str) -> None:
        """It is over."""
        self._open[who] -= 1
        self._total -= 1
        if self._open[who] <= 0:
            del self._open[who]

"""Rate and concurrency limits per client: pure, bounded tables; time is an argument (monotonic)."""

from __future__ import annotations

from collections import Counter
from typing import Final

from utils import BoundedDict, TokenBucket

MAX_REMEMBERED: Final = 10_000
"""Past this many clients the one idle longest is forgotten and starts afresh."""

BURST_S: Final = 10.0
"""Burst after a pause, in seconds' worth of requests."""

MIN_BURST: Final = 60
"""One click loads the page with all its files."""


class Throttle:
    """A token bucket for each client."""

    def __init__(self, per_s: float) -> None:
        self._per_s = per_s
        self._burst = max(MIN_BURST, int(per_s * BURST_S))
        self._buckets: BoundedDict[str, TokenBucket] = BoundedDict(MAX_REMEMBERED)

    def __len__(self) -> int:
        return len(self._buckets)

    def wait_s(self, who: str, *, now_s: float) -> float:
        """Count a request of `who`; return 0, or the seconds to wait if it exceeds the rate."""
        bucket = self._bucket(who)
        return 0.0 if bucket.allow(now_s) else bucket.wait_s()

    def charge(self, who: str, cost: int) -> None:
        """Charge `who` for a request with a wrong credential."""
        self._bucket(who).charge(cost)

    def _bucket(self, who: str) -> TokenBucket:
        bucket = self._buckets.setdefault(who, TokenBucket(self._per_s, self._burst))
        self._buckets.move_to_end(who)
        return bucket


class OpenRequests:
    """Counts requests being answered, long-lived sockets and event streams included."""

    def __init__(self, limit: int, limit_each: int) -> None:
        self._limit = limit
        self._limit_each = limit_each
        self._open: Counter[str] = Counter()
        self._total = 0

    @property
    def is_full(self) -> bool:
        """True if the total limit is reached."""
        return self._total >= self._limit

    def is_enough(self, who: str) -> bool:
        """Return true if this client has reached its limit."""
        return self._open[who] >= self._limit_each

    def enter(self, who: str) -> None:
        """Count a request that begins."""
        self._open[who] += 1
        self._total += 1

    def leave(self, who: str) -> None:
        """Count a request that has ended."""
        self._open[who] -= 1
        self._total -= 1
        if self._open[who] <= 0:
            del self._open[who]

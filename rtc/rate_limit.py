"""A token bucket: at most so many a second, with bursts. Pure."""

from __future__ import annotations


class RateLimit:
    """Allows `per_s` events a second on average and `burst` at once."""

    def __init__(self, per_s: float, burst: int) -> None:
        self._per_s = per_s
        self._burst = burst
        self._left = float(burst)
        self._at_s: float | None = None

    def allow(self, now_s: float, cost: float = 1) -> bool:
        """Count an event at `now_s` (monotonic), as `cost` of them; False when it is too many."""
        if self._at_s is not None:
            refill = max(0.0, now_s - self._at_s) * self._per_s
            self._left = min(self._burst, self._left + refill)
        self._at_s = now_s
        if self._left < cost:
            return False
        self._left -= cost
        return True

    def charge(self, cost: int) -> None:
        """Count what happened anyway; the debt is never more than a burst."""
        self._left = max(-float(self._burst), self._left - cost)

    def wait_s(self) -> float:
        """How long after the last event another one would be allowed."""
        return max(0.0, 1 - self._left) / self._per_s

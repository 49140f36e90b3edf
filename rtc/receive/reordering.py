"""Wait for a missing packet after its successor came, from recent reordering. Pure."""

from __future__ import annotations

from typing import Final

MAX_REORDER_S: Final = 0.120
_HALF_LIFE_S: Final = 5.0
_MARGIN_S: Final = 0.005
_LEAST_S: Final = 0.001


class ReorderWait:
    """0 until packets were seen out of order; then the longest time it took, fading."""

    def __init__(self) -> None:
        self._wait_s = 0.0
        self._learnt_at_s = 0.0

    def wait_s(self, now_s: float) -> float:
        """The present wait."""
        age_s = max(0.0, now_s - self._learnt_at_s)
        wait_s = self._wait_s * 0.5 ** (age_s / _HALF_LIFE_S)
        return wait_s if wait_s >= _LEAST_S else 0.0

    def learn(self, needed_s: float, now_s: float) -> None:
        """A packet came this long after its successor."""
        self._wait_s = max(self.wait_s(now_s), min(needed_s + _MARGIN_S, MAX_REORDER_S))
        self._learnt_at_s = now_s

"""Search for the most calls that are sound: stepwise upwards, then by halves. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

FIRST: Final = 4
GROWTH: Final = 1.5
PRECISION: Final = 0.05
"""The search ends when the bracket is this part of the limit, or one call."""


@dataclass
class KneeSearch:
    """Bracket of the limit. good: most calls that were sound; bad: fewest that were not, if any.

    max_calls: more are never tried
    """

    max_calls: int
    good: int = 0
    bad: int | None = None

    def next(self) -> int | None:
        """Return how many calls to try next; None: the limit is known as well as it need be."""
        if self.bad is None:
            if self.good >= self.max_calls:
                return None
            wanted = max(FIRST, self.good + 1, round(self.good * GROWTH))
            return min(self.max_calls, wanted)
        if self.bad - self.good <= max(1, int(PRECISION * self.bad)):
            return None
        return (self.good + self.bad) // 2

    def take(self, calls: int, *, is_sound: bool, is_most: bool = False) -> None:
        """Take the verdict on `calls`. is_most: the server took no more than these."""
        if is_sound:
            self.good = max(self.good, calls)
            if is_most:
                self.bad = min(calls + 1, self.bad or calls + 1)
        else:
            self.bad = min(calls, self.bad or calls)
            if self.good >= self.bad:
                # It was sound before: of two measurements of a busy machine the worse one holds.
                self.good = self.bad - 1

"""When to deliver again. Pure; randomness is an argument."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus


@dataclass(frozen=True)
class RetryPolicy:
    """Pauses double from `first_s` up to `cap_s`, up to a half of each left to chance."""

    attempts: int = 8
    first_s: float = 1.0
    cap_s: float = 60.0

    def pause_s(self, attempt: int, chance: float) -> float | None:
        """Before the attempt after `attempt` (from 1); None: no more. chance: from 0 to 1."""
        if attempt >= self.attempts:
            return None
        longest_s = min(self.cap_s, self.first_s * 2.0 ** (attempt - 1))
        return longest_s * (1 - chance / 2)


def is_delivered(status: int) -> bool:
    """Whether the receiver took it."""
    return 200 <= status < 300


def is_unwanted(status: int) -> bool:
    """Whether the receiver says that it will never take it."""
    return status == HTTPStatus.GONE

"""Retry pauses of deliveries. Pure; randomness is an argument."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus


@dataclass(frozen=True)
class RetryPolicy:
    """Exponential backoff from `first_s` to `cap_s`, with up to half of each pause random."""

    attempts: int = 8
    first_s: float = 1.0
    cap_s: float = 60.0

    def pause_s(self, attempt: int, chance: float) -> float | None:
        """Return the pause after attempt `attempt` (from 1); None: give up. chance: 0 to 1."""
        if attempt >= self.attempts:
            return None
        longest_s = min(self.cap_s, self.first_s * 2.0 ** (attempt - 1))
        return longest_s * (1 - chance / 2)


def is_delivered(status: int) -> bool:
    """Return true if the receiver accepted the delivery."""
    return 200 <= status < 300


def is_unwanted(status: int) -> bool:
    """Return true if the receiver will never accept it (410)."""
    return status == HTTPStatus.GONE

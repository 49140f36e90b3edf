"""Decide when a sign that a tool is at work is due. Pure: time is an argument (monotonic seconds)."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class ThinkingWatch:
    """Follows one stretch of work, from the first tool call to the reply about its result.

    after_s: silence before the sign
    """

    after_s: float
    _silent_since_s: float | None = field(default=None, init=False)

    def is_due(self, now_s: float, *, is_silent: bool) -> bool:
        """Return true once nobody has spoken for long enough."""
        if not is_silent:
            self._silent_since_s = None
            return False
        if self._silent_since_s is None:
            self._silent_since_s = now_s
        return now_s - self._silent_since_s >= self.after_s

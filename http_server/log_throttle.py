"""`LogThrottle`: limits warnings that clients can cause at will."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final

INTERVAL_S: Final = 60.0


class LogThrottle:
    """Logs the first line of each kind at once, then at most one per `interval_s` with a count."""

    def __init__(
        self,
        log: logging.Logger,
        *,
        interval_s: float = INTERVAL_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._log = log
        self._interval_s = interval_s
        self._clock = clock
        self._last_s: dict[str, float] = {}
        self._suppressed: dict[str, int] = {}

    def warning(self, kind: str, text: str) -> None:
        """Log `text`, or count it. kind: a fixed word, never from outside."""
        now_s, last_s = self._clock(), self._last_s.get(kind)
        if last_s is not None and now_s - last_s < self._interval_s:
            self._suppressed[kind] = self._suppressed.get(kind, 0) + 1
            return
        self._last_s[kind] = now_s
        suppressed = self._suppressed.pop(kind, 0)
        self._log.warning(
            "%s%s", text, f" ({suppressed} more since the last line)" if suppressed else ""
        )

"""`SparseLog`: what others can cause as often as they like is logged once a while."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final

INTERVAL_S: Final = 60.0


class SparseLog:
    """Of each kind one line at once, and then at most one in `interval_s` with how many there were."""

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
        self._untold: dict[str, int] = {}

    def warning(self, kind: str, text: str) -> None:
        """kind: one of a few words of ours, never from outside."""
        now_s, last_s = self._clock(), self._last_s.get(kind)
        if last_s is not None and now_s - last_s < self._interval_s:
            self._untold[kind] = self._untold.get(kind, 0) + 1
            return
        self._last_s[kind] = now_s
        untold = self._untold.pop(kind, 0)
        self._log.warning("%s%s", text, f" ({untold} more since the last line)" if untold else "")

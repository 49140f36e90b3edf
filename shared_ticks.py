"""Moments at which this process wakes up anyway: what is done now and then shares them.

A wake-up with cold caches costs more than what is done in it. Each process has ticks of its own, so that
many of them do not wake at the same moment.
"""

from __future__ import annotations

import os
import time
from typing import Final

TICK_S: Final = 0.25
_SPREAD: Final = 0.618_033_988_75


def until_tick_s(delay_s: float, now_s: float | None = None) -> float:
    """Seconds from now to the tick nearest to `delay_s` from now, at least half a tick away.

    now_s: monotonic seconds, if not those of this moment
    """
    now_s = time.monotonic() if now_s is None else now_s
    # Neighbouring process ids lie far apart within a tick.
    offset_s = os.getpid() * _SPREAD % 1 * TICK_S
    ticks = round((now_s + max(delay_s, TICK_S) - offset_s) / TICK_S)
    return offset_s + ticks * TICK_S - now_s

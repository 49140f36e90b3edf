"""Liveness of the network path to a peer, both ways. Pure: time is an argument.

A probe is a connectivity check (STUN, authenticated); its answer proves both directions at once.
In calm times one a second is enough. The first that stays unanswered is followed by eight a second,
so that a path is only called dead when ten or so in a row were lost: random loss, even of a third of
all packets, does not look like that.
"""

from __future__ import annotations

import random
from enum import Enum
from typing import Final

CALM_INTERVAL_S: Final = 1.0
QUICK_INTERVAL_S: Final = 0.125
DOUBT_AFTER_S: Final = 0.3
DEAD_AFTER_S: Final = 2.5
MIN_UNANSWERED: Final = 8
GIVE_UP_AFTER_S: Final = 8.0


class PathHealth(Enum):
    """DEAD: nothing comes back, but it may. GONE: given up, nothing may be sent any more."""

    WELL = "well"
    DEAD = "dead"
    GONE = "gone"


class PathMonitor:
    """Schedule of probes and verdict: `next_probe_at_s` says when, `probed` and `answered` record."""

    def __init__(self, now_s: float) -> None:
        self.health = PathHealth.WELL
        self._answered_at_s = now_s
        self._probed_at_s = now_s
        self._unanswered = 0
        # A little less than the interval, so that many connections do not ask at the same moment.
        self._calm_interval_s = CALM_INTERVAL_S * random.uniform(0.9, 1.0)

    @property
    def next_probe_at_s(self) -> float:
        """The time of the next probe."""
        if self._unanswered == 0:
            return self._probed_at_s + self._calm_interval_s
        if self._unanswered == 1:
            return self._probed_at_s + DOUBT_AFTER_S
        if self.health is PathHealth.WELL:
            return self._probed_at_s + QUICK_INTERVAL_S
        return self._probed_at_s + 2 * QUICK_INTERVAL_S

    def probed(self, now_s: float) -> None:
        """A probe has been sent."""
        self._probed_at_s = now_s
        self._unanswered += 1

    def answered(self, now_s: float) -> None:
        """A probe was answered. A path that was given up stays so."""
        self._answered_at_s = now_s
        self._unanswered = 0
        if self.health is PathHealth.DEAD:
            self.health = PathHealth.WELL

    def judge(self, now_s: float) -> PathHealth:
        """The verdict now. Our own pauses count for nothing: only probes that were sent do."""
        silent_s = now_s - self._answered_at_s
        if self._unanswered >= MIN_UNANSWERED and silent_s >= DEAD_AFTER_S:
            is_gone = silent_s >= GIVE_UP_AFTER_S and self.health is not PathHealth.WELL
            self.health = PathHealth.GONE if is_gone else PathHealth.DEAD
        return self.health

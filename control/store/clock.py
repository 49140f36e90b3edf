"""`ClockCheck`: plausibility of the wall clock, required before deletions. Pure; time is an argument."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

CONFIRM_S: Final = 24 * 3600.0
"""Time that a clock must run evenly after a jump before it counts as plausible."""

_UNEVEN_MS: Final = 60_000
"""Deviation between two looks that counts as another jump."""

_MS_OF_UNITS: Final = (("days", 86_400_000), ("hours", 3_600_000), ("minutes", 60_000))


@dataclass(frozen=True)
class _Look:
    wall_ms: int
    monotonic_s: float

    def strayed_ms(self, later: _Look) -> float:
        """Return by how much the wall clock ran ahead (negative: behind) between two looks."""
        return later.wall_ms - self.wall_ms - (later.monotonic_s - self.monotonic_s) * 1000


class ClockCheck:
    """Compares the wall clock with the last plausible time and, within one process, with the
    monotonic clock.
    """

    def __init__(self, allowed_ms: int, believed_ms: int | None) -> None:
        """
        allowed_ms: tolerated deviation, or time that the server was off
        believed_ms: last plausible wall time, perhaps of an earlier server process; None: never
        """
        self.problem: str | None = None
        self.believed_ms = believed_ms
        self._allowed_ms = allowed_ms
        self._believed: _Look | None = None
        # Begin of the even run of an implausible clock, and the last look at it.
        self._odd_since: _Look | None = None
        self._odd: _Look | None = None

    def look(self, *, wall_ms: int, monotonic_s: float) -> bool:
        """Return true if the clock is plausible now; otherwise `problem` has the reason."""
        now = _Look(wall_ms, monotonic_s)
        if self._believed is None:
            known_ms = wall_ms if self.believed_ms is None else self.believed_ms
            self._believed = _Look(known_ms, monotonic_s)
        off_ms = self._believed.strayed_ms(now)
        if abs(off_ms) <= self._allowed_ms or self._has_run_evenly(now):
            self.problem, self.believed_ms = None, wall_ms
            self._believed, self._odd_since, self._odd = now, None, None
            return True
        side = "ahead of" if off_ms > 0 else "behind"
        self.problem = f"the clock is {_duration(off_ms)} {side} what was last known"
        return False

    def _has_run_evenly(self, now: _Look) -> bool:
        is_even = self._odd is not None and abs(self._odd.strayed_ms(now)) <= _UNEVEN_MS
        if self._odd_since is None or not is_even:
            self._odd_since = now
        self._odd = now
        return now.monotonic_s - self._odd_since.monotonic_s >= CONFIRM_S


def _duration(span_ms: float) -> str:
    for unit, unit_ms in _MS_OF_UNITS:
        if abs(span_ms) >= 2 * unit_ms:
            return f"{abs(span_ms) / unit_ms:.0f} {unit}"
    return f"{abs(span_ms) / 1000:.0f} seconds"

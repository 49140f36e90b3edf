"""`EngineLoad`: whether an engine keeps up with its sessions, from what happened lately. Pure."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

WINDOW_S: Final = 10.0
MAX_WAIT_S: Final = 0.3
"""What a listener notices in an answer: work for which someone waits in silence waits longer."""

MAX_USE: Final = 0.85
"""Share of an engine's time; above it, a queue grows with each coincidence."""


@dataclass(frozen=True, slots=True)
class LoadFigures:
    """An engine in the last `WINDOW_S`.

    use: share of its slots' time that was worked
    longest_wait_s: of work of urgency FIRST, begun or still waiting
    """

    use: float
    longest_wait_s: float

    @property
    def is_overloaded(self) -> bool:
        """True if one more session would have those that run stutter."""
        return self.use > MAX_USE or self.longest_wait_s > MAX_WAIT_S


class EngineLoad:
    """Counts work as it begins and ends; times are monotonic seconds."""

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._running: dict[object, float] = {}
        self._done: deque[tuple[float, float]] = deque()
        self._waits: deque[tuple[float, float]] = deque()

    def begin(self, work: object, now_s: float, waited_s: float | None) -> None:
        """Count work that begins. waited_s: if someone waited for it in silence"""
        self._running[work] = now_s
        if waited_s is not None:
            self._waits.append((now_s, waited_s))

    def end(self, work: object, now_s: float) -> None:
        """Count work that ends."""
        self._done.append((self._running.pop(work), now_s))
        self._forget(now_s)

    def figures(self, now_s: float, waiting_since_s: float | None) -> LoadFigures:
        """Return the figures. waiting_since_s: of the oldest urgent work that waits now"""
        self._forget(now_s)
        began_s = now_s - WINDOW_S
        spans = [*self._done, *((start_s, now_s) for start_s in self._running.values())]
        worked_s = sum(end_s - max(start_s, began_s) for start_s, end_s in spans)
        waits = [wait_s for _, wait_s in self._waits]
        if waiting_since_s is not None:
            waits.append(now_s - waiting_since_s)
        return LoadFigures(worked_s / (WINDOW_S * self._slots), max(waits, default=0.0))

    def _forget(self, now_s: float) -> None:
        while self._done and self._done[0][1] < now_s - WINDOW_S:
            self._done.popleft()
        while self._waits and self._waits[0][0] < now_s - WINDOW_S:
            self._waits.popleft()

"""`Schedule`: what is to be delivered, and when, within bounds. Pure; time is an argument."""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Schedule(Generic[T]):
    """What is new goes first, in its order; what was refused waits until it is due. Each thing has a
    number, by which the oldest is known however often it is put back.
    """

    def __init__(self, limit: int) -> None:
        """limit: of more, the oldest is dropped: what is newer says more"""
        self.dropped = 0
        self._limit = limit
        self._last_number = 0
        self._new: OrderedDict[int, T] = OrderedDict()
        self._refused: dict[int, T] = {}
        # (due, number) of the refused; what was dropped is passed over.
        self._due: list[tuple[float, int]] = []

    def __len__(self) -> int:
        return len(self._new) + len(self._refused)

    def __iter__(self) -> Iterator[T]:
        return iter((*self._new.values(), *self._refused.values()))

    def add(self, thing: T) -> None:
        """Something new, due at once."""
        self._last_number += 1
        self._new[self._last_number] = thing
        self._trim()

    def put_back(self, number: int, thing: T, due_s: float) -> None:
        """Something that was taken is to be tried again."""
        self._refused[number] = thing
        heapq.heappush(self._due, (due_s, number))
        self._trim()

    def take(self, now_s: float, *, may_be_refused: bool) -> tuple[int, T] | None:
        """The next that is due, and its number; None: there is none.

        may_be_refused: whether it may be one that was refused before
        """
        if self._new:
            return self._new.popitem(last=False)
        if not may_be_refused or (due_s := self.due_s()) is None or due_s > now_s:
            return None
        _, number = heapq.heappop(self._due)
        return number, self._refused.pop(number)

    def due_s(self) -> float | None:
        """When the next of the refused is due; None: none waits."""
        while self._due and self._due[0][1] not in self._refused:
            heapq.heappop(self._due)
        return self._due[0][0] if self._due else None

    def hurry(self) -> None:
        """Make everything due, the oldest first. Times are those of a clock that began at 0."""
        self._due = [(0.0, number) for number in sorted(self._refused)]

    def _trim(self) -> None:
        if len(self) <= self._limit:
            return
        oldest = min([*self._refused, *list(self._new)[:1]])
        self._new.pop(oldest, None)
        self._refused.pop(oldest, None)
        self.dropped += 1

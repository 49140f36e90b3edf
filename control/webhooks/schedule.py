"""`Schedule`: a bounded queue of deliveries and their due times. Pure; time is an argument."""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Schedule(Generic[T]):
    """New deliveries first, in order; refused ones when they are due. Each has a number, which keeps
    its age however often it is put back.
    """

    def __init__(self, limit: int, limit_bytes: int = 64 * 1024 * 1024) -> None:
        """limit, limit_bytes: past them the oldest is dropped, as newer ones supersede it"""
        self.dropped = 0
        self._limit = limit
        self._limit_bytes = limit_bytes
        # Of all deliveries that wait, by their numbers.
        self._sizes: dict[int, int] = {}
        self._bytes = 0
        self._last_number = 0
        self._new: OrderedDict[int, T] = OrderedDict()
        self._refused: dict[int, T] = {}
        # (due, number) of the refused ones; dropped ones are skipped.
        self._due: list[tuple[float, int]] = []

    def __len__(self) -> int:
        return len(self._new) + len(self._refused)

    def __iter__(self) -> Iterator[T]:
        return iter((*self._new.values(), *self._refused.values()))

    def add(self, thing: T, size_bytes: int = 0) -> None:
        """Add a new delivery, due at once."""
        self._last_number += 1
        self._new[self._last_number] = thing
        self._count(self._last_number, size_bytes)
        self._trim()

    def put_back(self, number: int, thing: T, due_s: float, size_bytes: int = 0) -> None:
        """Return a delivery to be retried at `due_s`."""
        self._refused[number] = thing
        heapq.heappush(self._due, (due_s, number))
        self._count(number, size_bytes)
        self._trim()

    def take(
        self,
        now_s: float,
        *,
        may_be_refused: bool,
        may_begin: Callable[[T], bool] = lambda _thing: True,
    ) -> tuple[int, T] | None:
        """Take the next due delivery with its number; None if none is due.

        may_be_refused: include those refused before
        may_begin: false for a new delivery that has to wait for another one
        """
        for number, thing in self._new.items():
            if may_begin(thing):
                del self._new[number]
                self._uncount(number)
                return number, thing
        if not may_be_refused or (due_s := self.due_s()) is None or due_s > now_s:
            return None
        _, number = heapq.heappop(self._due)
        self._uncount(number)
        return number, self._refused.pop(number)

    def drop(self, is_unwanted: Callable[[T], bool]) -> None:
        """Remove deliveries that nobody may get any more; they do not count as dropped."""
        for waiting in (self._new, self._refused):
            for number in [number for number, thing in waiting.items() if is_unwanted(thing)]:
                del waiting[number]
                self._uncount(number)

    def due_s(self) -> float | None:
        """Return the due time of the next refused delivery; None if none waits."""
        while self._due and self._due[0][1] not in self._refused:
            heapq.heappop(self._due)
        return self._due[0][0] if self._due else None

    def hurry(self) -> None:
        """Make all refused deliveries due now, oldest first. Times count from 0."""
        self._due = [(0.0, number) for number in sorted(self._refused)]

    def _count(self, number: int, size_bytes: int) -> None:
        self._sizes[number] = size_bytes
        self._bytes += size_bytes

    def _uncount(self, number: int) -> None:
        self._bytes -= self._sizes.pop(number)

    def _trim(self) -> None:
        while len(self) > self._limit or self._bytes > self._limit_bytes:
            oldest = min([*self._refused, *list(self._new)[:1]])
            self._new.pop(oldest, None)
            self._refused.pop(oldest, None)
            self._uncount(oldest)
            self.dropped += 1

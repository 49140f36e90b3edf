"""`EventBacklog`: events that wait for an application that takes them one by one."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final, Generic, TypeVar

MAX_EVENTS: Final = 10_000
"""Events that wait, audio apart; of more, the oldest are dropped."""

MAX_AUDIO_S: Final = 600.0
"""Audio that waits; more is dropped, as on every line."""

E = TypeVar("E")


class EventBacklog(Generic[E]):
    """A bounded queue on one loop whose end is never dropped. dropped: number of lost events"""

    def __init__(self, audio_s: Callable[[E], float]) -> None:
        """audio_s: returns the length of an event's audio; 0: it has none"""
        self.dropped = 0
        self._audio_s_of = audio_s
        self._waiting: deque[E] = deque()
        self._audio_s = 0.0
        self._others = 0
        self._news = asyncio.Event()
        self._is_over = False

    def put(self, event: E) -> None:
        """Add an event; returns at once."""
        length_s = self._audio_s_of(event)
        if length_s and self._audio_s + length_s > MAX_AUDIO_S:
            self.dropped += 1
            return
        self._waiting.append(event)
        self._audio_s += length_s
        self._others += not length_s
        if self._others > MAX_EVENTS:
            self._drop_oldest()
        self._news.set()

    def drop(self, is_unwanted: Callable[[E], bool]) -> None:
        """Remove waiting events, for example audio that must not be played any more."""
        self._replace(event for event in self._waiting if not is_unwanted(event))

    def finish(self) -> None:
        """No more events come: `get` returns None after those that wait."""
        self._is_over = True
        self._news.set()

    async def get(self) -> E | None:
        """Remove and return the oldest event; None: there is none, and none will come."""
        while not self._waiting:
            if self._is_over:
                return None
            self._news.clear()
            await self._news.wait()
        event = self._waiting.popleft()
        length_s = self._audio_s_of(event)
        self._audio_s = max(0.0, self._audio_s - length_s)
        self._others -= not length_s
        return event

    def _drop_oldest(self) -> None:
        for at, event in enumerate(self._waiting):
            if not self._audio_s_of(event):
                del self._waiting[at]
                self._others -= 1
                self.dropped += 1
                return

    def _replace(self, events: Iterable[E]) -> None:
        self._waiting = deque(events)
        lengths = [self._audio_s_of(event) for event in self._waiting]
        self._audio_s = sum(lengths)
        self._others = lengths.count(0.0)

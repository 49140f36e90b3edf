"""`Slots`: requests at once, in order of arrival, with a bound on those that wait."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from speech.embedded.errors import RequestError


class Slots:
    """Admits `count` requests at once; at most `max_waiting` wait."""

    def __init__(self, count: int, max_waiting: int) -> None:
        self._count = count
        self._max_waiting = max_waiting
        self._free = asyncio.Semaphore(count)
        self.running = 0
        self.waiting = 0

    @contextlib.asynccontextmanager
    async def one(self) -> AsyncIterator[None]:
        """Wait for a slot and hold it.

        Raises:
            RequestError: 429, too many wait.
        """
        if self.running + self.waiting >= self._count + self._max_waiting:
            text = f"{self._count} requests run and {self._max_waiting} wait: try again later"
            raise RequestError(429, "too_many_requests", text)
        self.waiting += 1
        try:
            await self._free.acquire()
        finally:
            self.waiting -= 1
        self.running += 1
        try:
            yield
        finally:
            self.running -= 1
            self._free.release()

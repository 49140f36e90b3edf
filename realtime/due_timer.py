"""A deadline with a timer of its own: what is due happens though nothing else does."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from utils import OwnedTasks

_log = logging.getLogger("realtime")


class DueTimer:
    """Timer that runs `act` when its deadline has come; a moved deadline is passed to `set`."""

    def __init__(self, act: Callable[[], Awaitable[None]]) -> None:
        self._act = act
        self._tasks = OwnedTasks(_log)
        self._handle: asyncio.TimerHandle | None = None
        self._is_closed = False

    def set(self, delay_s: float | None) -> None:
        """Act in `delay_s` seconds, and not when it was said before; None: not at all."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        if delay_s is None or self._is_closed:
            return
        loop = asyncio.get_running_loop()
        self._handle = loop.call_later(max(0.0, delay_s), self._start)

    def _start(self) -> None:
        self._handle = None
        self._tasks.start(self._run(), name="due in a model session")

    async def _run(self) -> None:
        await self._act()

    async def close(self) -> None:
        """Act no more; safe at any time and again."""
        self._is_closed = True
        self.set(None)
        await self._tasks.close()

"""`IdleTimer`: a word to a user who says nothing after a reply (`idle_timeout_ms` of `server_vad`)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from utils import OwnedTasks


class IdleTimer:
    """Runs from the end of one reply's playout to the next sign of the user."""

    def __init__(self, tasks: OwnedTasks, on_idle: Callable[[], None]) -> None:
        """on_idle: called once the time is over, unless it was stopped."""
        self._tasks = tasks
        self._on_idle = on_idle
        self._task: asyncio.Task[None] | None = None

    def start(self, delay_s: float) -> None:
        """Begin anew."""
        self.stop()
        self._task = self._tasks.start(self._wait(delay_s), name="idle timer")

    def stop(self) -> None:
        """The user said something, or a reply was asked for."""
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()
        self._task = None

    async def _wait(self, delay_s: float) -> None:
        await asyncio.sleep(delay_s)
        self._on_idle()

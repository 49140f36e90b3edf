"""`Observers`: functions that watch a call by the names of its events, and can never delay it."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from tool_threads import Raised, ToolThreads
from untrusted.boundary import Caught
from utils import OwnedTasks

MAX_WAITING: Final = 1_000
"""Events that wait for one slow observer; of more, its oldest are dropped and counted."""

MAX_OBSERVERS: Final = 100

CLOSE_S: Final = 1.0
"""For what waits at the end of a call."""

Observer = Callable[[Any], Any]

_log = logging.getLogger("parley.observers")


class _Registered:
    """One observer and what waits for it."""

    def __init__(self, function: Observer, threads: ToolThreads) -> None:
        self.function = function
        self.dropped = 0
        self._threads = threads
        self._waiting: deque[Any] = deque(maxlen=MAX_WAITING)
        self._news = asyncio.Event()
        self._is_over = False

    def put(self, value: Any) -> None:
        """Let a value wait."""
        self.dropped += len(self._waiting) == MAX_WAITING
        self._waiting.append(value)
        self._news.set()

    def finish(self) -> None:
        """Have `run` end after what waits."""
        self._is_over = True
        self._news.set()

    async def run(self) -> None:
        """Call the function with each value in order: a coroutine on the loop, another in a thread."""
        while True:
            while self._waiting:
                await self._call(self._waiting.popleft())
            if self._is_over:
                return
            self._news.clear()
            await self._news.wait()

    async def _call(self, value: Any) -> None:
        name = getattr(self.function, "__name__", repr(self.function))
        if inspect.iscoroutinefunction(self.function):
            with Caught() as caught:
                await self.function(value)
            error = caught.error
        else:
            outcome = await self._threads.run(lambda: self.function(value))
            error = outcome.error if isinstance(outcome, Raised) else None
        if error is not None:
            _log.warning("observer %s failed: %s", name, type(error).__name__)
            _log.debug("observer %s failed", name, exc_info=error)


class Observers:
    """Observers by event name, with or without `on_`. May be registered before and during a call."""

    def __init__(self) -> None:
        self._threads = ToolThreads()
        self._tasks = OwnedTasks(_log)
        self._by_name: dict[str, list[_Registered]] = {}
        self._running: dict[_Registered, asyncio.Task[None]] = {}
        self._is_open = False

    @property
    def dropped(self) -> int:
        """Events that present observers were too slow for."""
        return sum(each.dropped for found in self._by_name.values() for each in found)

    def register(self, name: str, function: Observer) -> None:
        """Call `function` with each event `name`; `*`: with all.

        Raises:
            ValueError: There are too many observers.
        """
        if sum(map(len, self._by_name.values())) >= MAX_OBSERVERS:
            raise ValueError(f"at most {MAX_OBSERVERS} observers")
        observer = _Registered(function, self._threads)
        self._by_name.setdefault(_plain(name), []).append(observer)
        if self._is_open:
            self._start(observer)

    def unregister(self, name: str, function: Observer) -> None:
        """Call it no more, also with what waits. Unknown ones are ignored."""
        found = self._by_name.get(_plain(name), [])
        for observer in [each for each in found if each.function == function]:
            found.remove(observer)
            if (task := self._running.pop(observer, None)) is not None:
                task.cancel()

    def emit(self, name: str, value: Any) -> None:
        """Give an event to those who watch it, and to those who watch all; returns at once."""
        self.emit_named(name, value)
        self.emit_named("*", value)

    def emit_named(self, name: str, value: Any) -> None:
        """Give a value to those who watch this name, and to no others; returns at once."""
        for observer in self._by_name.get(name, ()):
            observer.put(value)

    def open(self) -> None:
        """Begin to call observers. Must be called on the loop."""
        self._is_open = True
        for found in self._by_name.values():
            for observer in found:
                self._start(observer)

    async def close(self) -> None:
        """Let observers see what waits, for a moment, then end. Idempotent."""
        self._is_open = False
        for observer in self._running:
            observer.finish()
        current = asyncio.current_task()
        left = {task for task in self._running.values() if task is not current}
        if left:
            await asyncio.wait(left, timeout=CLOSE_S)
        await self._tasks.close()
        self._running.clear()

    def _start(self, observer: _Registered) -> None:
        self._running[observer] = self._tasks.start(observer.run(), name="observer")


def _plain(name: str) -> str:
    return name.removeprefix("on_")

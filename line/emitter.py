"""Listeners by event name. A failing listener is logged and never stops the one who emits."""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from untrusted.boundary import Caught, place_of
from utils import OwnedTasks

Listener = Callable[..., Any]

_log = logging.getLogger(__name__)


class Emitter:
    """Calls plain listeners at once, runs async ones as tasks it owns."""

    def __init__(self, names: frozenset[str]) -> None:
        """names: the events that exist; any other name is a programming error."""
        self._listeners: dict[str, list[tuple[Listener, bool]]] = {name: [] for name in names}
        self._tasks = OwnedTasks(_log)

    def on(self, name: str, listener: Listener) -> None:
        """Call `listener` on every event `name`."""
        self._listeners[name].append((listener, False))

    def once(self, name: str, listener: Listener) -> None:
        """Call `listener` on the next event `name` only."""
        self._listeners[name].append((listener, True))

    def off(self, name: str, listener: Listener) -> None:
        """Forget `listener`; nothing happens when it is not registered."""
        kept = [entry for entry in self._listeners[name] if entry[0] != listener]
        self._listeners[name] = kept

    def emit(self, name: str, *arguments: Any) -> None:
        """Call every listener of `name`; never raises."""
        for entry in list(self._listeners[name]):
            if entry[1]:
                self._listeners[name].remove(entry)
            self._call(name, entry[0], arguments)

    def _call(self, name: str, listener: Listener, arguments: tuple[Any, ...]) -> None:
        with Caught() as caught:
            result = listener(*arguments)
            if inspect.iscoroutine(result):
                task = self._tasks.start(self._listen(name, result), name=f"listener of {name}")
                # One that is given up before it began would stay unawaited.
                task.add_done_callback(functools.partial(_close, result))
        if caught.error is not None:
            _log_failure(name, caught.error)

    async def _listen(self, name: str, listening: Coroutine[Any, Any, Any]) -> None:
        with Caught() as caught:
            await listening
        if caught.error is not None:
            _log_failure(name, caught.error)

    async def close(self) -> None:
        """Forget all listeners and end the async ones still running."""
        for listeners in self._listeners.values():
            listeners.clear()
        await self._tasks.close()


def _close(listening: Coroutine[Any, Any, Any], _task: asyncio.Task[Any]) -> None:
    listening.close()


def _log_failure(name: str, error: BaseException) -> None:
    cause, place = type(error).__name__, place_of(error)
    _log.error("a listener of %s failed: %s at %s", name, cause, place)
    _log.debug("a listener of %s failed", name, exc_info=error)

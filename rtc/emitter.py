"""Listeners by event name. A failing listener is logged and never stops the one who emits."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from typing import Any

from utils import OwnedTasks

Listener = Callable[..., Any]

logger = logging.getLogger(__name__)


class Emitter:
    """Calls plain listeners at once, runs async ones as tasks it owns."""

    def __init__(self, names: frozenset[str]) -> None:
        """names: the events that exist; any other name is a programming error."""
        self._listeners: dict[str, list[tuple[Listener, bool]]] = {name: [] for name in names}
        self._tasks = OwnedTasks(logger)

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
        """Tell every listener of `name`; never raises."""
        for entry in list(self._listeners[name]):
            if entry[1]:
                self._listeners[name].remove(entry)
            self._call(name, entry[0], arguments)

    def _call(self, name: str, listener: Listener, arguments: tuple[Any, ...]) -> None:
        try:
            result = listener(*arguments)
        except Exception:
            logger.exception("a listener of %s failed", name)
            return
        if inspect.iscoroutine(result):
            self._tasks.start(result, name=f"listener of {name}")

    async def close(self) -> None:
        """Forget all listeners and end the async ones still running."""
        for listeners in self._listeners.values():
            listeners.clear()
        await self._tasks.close()

"""Coroutines of a task that begin at once, outside of it, and go on in it only where they must wait.

A task that is woken for each piece of work costs a round of the event loop for each. What nearly never
waits can run in the step that has the work.
"""

from __future__ import annotations

import asyncio
from asyncio import tasks
from collections.abc import Coroutine, Generator
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class StartedCoroutine(Generator[Any, Any, T]):
    """The rest of a coroutine that waits for `awaited`: whatever comes goes straight to it."""

    def __init__(self, coroutine: Coroutine[Any, Any, T], awaited: Any) -> None:
        self._coroutine = coroutine
        self._awaited = [awaited]

    def __await__(self) -> Generator[Any, Any, T]:
        return self

    def send(self, value: Any) -> Any:
        """Yield what is awaited first, then go on."""
        return self._awaited.pop() if self._awaited else self._coroutine.send(value)

    def throw(self, *error: Any) -> Any:
        """Raise in the coroutine."""
        return self._coroutine.throw(*error)

    def close(self) -> None:
        """Close the coroutine."""
        self._coroutine.close()


class InlineSteps(Generic[T]):
    """Runs coroutines on behalf of one task, one after the other.

    `begin` may be called anywhere in the loop, also from a callback: the coroutine sees the task as the
    current one, so that timeouts and cancellation reach it as if the task had called it.
    """

    def __init__(self, task: asyncio.Task[Any]) -> None:
        self._task = task
        self._loop = task.get_loop()
        self._rest: StartedCoroutine[T] | None = None
        self._is_stepping = False

    @property
    def is_busy(self) -> bool:
        """True while a coroutine has begun and is not done."""
        return self._is_stepping or self._rest is not None

    def begin(self, coroutine: Coroutine[Any, Any, T]) -> tuple[T] | None:
        """Run until it is done or has to wait; its result, or None: the task must call `finish`.

        What it raises passes. Not to be called while busy.
        """
        caller = asyncio.current_task(self._loop)
        self._is_stepping = True
        if caller is not None:
            tasks._leave_task(self._loop, caller)  # noqa: SLF001 - for code that runs tasks
        tasks._enter_task(self._loop, self._task)  # noqa: SLF001
        try:
            awaited = coroutine.send(None)
        except StopIteration as done:
            return (done.value,)
        finally:
            tasks._leave_task(self._loop, self._task)  # noqa: SLF001
            if caller is not None:
                tasks._enter_task(self._loop, caller)  # noqa: SLF001
            self._is_stepping = False
        self._rest = StartedCoroutine(coroutine, awaited)
        return None

    async def finish(self) -> tuple[T] | None:
        """Wait for what has begun, in the task; its result, or None when nothing has."""
        if self._rest is None:
            return None
        try:
            return (await self._rest,)
        finally:
            self._rest = None

    def close(self) -> None:
        """Close what has begun and was not finished. Idempotent."""
        rest, self._rest = self._rest, None
        if rest is not None:
            rest.close()

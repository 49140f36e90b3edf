"""A deadline that costs nothing where nothing has to wait."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator
from typing import Any, TypeVar, cast

T = TypeVar("T")


async def within(timeout_s: float, coroutine: Coroutine[Any, Any, T]) -> T:
    """What `coroutine` returns. Only if it has to wait is a timer set: audio is sent fifty times a
    second, and nearly always at once.

    Raises:
        TimeoutError: it took longer, and was cancelled.
    """
    try:
        awaited = coroutine.send(None)
    except StopIteration as done:
        return cast(T, done.value)
    async with asyncio.timeout(timeout_s):
        return await _Rest(coroutine, awaited)


class _Rest(Generator[Any, Any, T]):
    """The rest of a coroutine that waits for `awaited`: whatever comes goes straight to it."""

    def __init__(self, coroutine: Coroutine[Any, Any, T], awaited: Any) -> None:
        self._coroutine = coroutine
        self._awaited = [awaited]

    def __await__(self) -> Generator[Any, Any, T]:
        return self

    def send(self, value: Any) -> Any:
        return self._awaited.pop() if self._awaited else self._coroutine.send(value)

    def throw(self, *error: Any) -> Any:
        return self._coroutine.throw(*error)

    def close(self) -> None:
        self._coroutine.close()

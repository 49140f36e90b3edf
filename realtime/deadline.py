"""A deadline that costs nothing where nothing has to wait."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar, cast

from inline_steps import StartedCoroutine

T = TypeVar("T")


async def within(timeout_s: float, coroutine: Coroutine[Any, Any, T]) -> T:
    """Return the result of `coroutine`. A timer is set only if it has to wait: audio is sent fifty times a
    second, and nearly always at once.

    Raises:
        TimeoutError: it took longer, and was cancelled.
    """
    try:
        awaited = coroutine.send(None)
    except StopIteration as done:
        return cast(T, done.value)
    async with asyncio.timeout(timeout_s):
        return await StartedCoroutine(coroutine, awaited)

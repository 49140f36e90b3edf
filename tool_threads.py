"""Runs plain functions in threads of their own: never those that name look-ups need, never waited for.

A thread cannot be stopped. Those that hang take places of a bounded number, and end with the process
without delaying its end.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from boundary import Caught

MAX_THREADS: Final = 32
"""Plain functions that may run at once; further ones wait for a place, as long as their timeout."""


@dataclass(frozen=True, slots=True)
class Returned:
    """The function's value."""

    value: Any


@dataclass(frozen=True, slots=True)
class Raised:
    """What the function raised, whatever it was."""

    error: BaseException


class ToolThreads:
    """A bounded number of daemon threads."""

    def __init__(self, limit: int = MAX_THREADS) -> None:
        self._free = asyncio.Semaphore(limit)

    async def run(self, function: Callable[[], Any]) -> Returned | Raised:
        """Call `function` in a thread of its own. Given up, it runs on, and keeps its place.

        Raises:
            RuntimeError: the machine allows no further thread.
        """
        await self._free.acquire()
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[Returned | Raised] = loop.create_future()
        context = contextvars.copy_context()

        def work() -> None:
            outcome = context.run(_contained, function)
            # The loop may be over by then: nobody waits any more.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(self._handle_end, ended, outcome)

        try:
            threading.Thread(target=work, name="tool", daemon=True).start()
        except RuntimeError:
            self._free.release()
            raise
        return await ended

    def _handle_end(
        self, ended: asyncio.Future[Returned | Raised], outcome: Returned | Raised
    ) -> None:
        self._free.release()
        if not ended.done():
            ended.set_result(outcome)


def _contained(function: Callable[[], Any]) -> Returned | Raised:
    # As a value: a future takes no StopIteration, and SystemExit would end the loop.
    with Caught() as caught:
        return Returned(function())
    assert caught.error is not None
    return Raised(caught.error)

"""Runs plain functions in daemon threads, apart from the loop's pool, which name look-ups need.

A thread cannot be stopped. One that hangs keeps its place of a bounded number, and does not delay the
end of the process.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from untrusted.boundary import Caught

SWITCH_INTERVAL_S: Final = 0.000_5
"""The longest that a thread which computes keeps the interpreter from the event loop, at a time: by
default ten times as long, and the loop asks for it several times for each frame of audio."""

MAX_THREADS: Final = 32
"""Plain functions that run at once; further ones wait for a place, up to their timeout."""


@dataclass(frozen=True, slots=True)
class Returned:
    """The function's value."""

    value: Any


@dataclass(frozen=True, slots=True)
class Raised:
    """The function's exception, of any kind."""

    error: BaseException


class _QuickSwitches:
    """Keeps the interpreter's switch interval short while any thread of a tool runs."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running = 0
        self._usual_s = 0.0

    def begin(self) -> None:
        """A thread begins."""
        with self._lock:
            if self._running == 0:
                self._usual_s = sys.getswitchinterval()
                sys.setswitchinterval(min(SWITCH_INTERVAL_S, self._usual_s))
            self._running += 1

    def end(self) -> None:
        """A thread has ended."""
        with self._lock:
            self._running -= 1
            if self._running == 0:
                sys.setswitchinterval(self._usual_s)


_quick_switches = _QuickSwitches()


class ToolThreads:
    """A bounded number of daemon threads."""

    def __init__(self, limit: int = MAX_THREADS) -> None:
        self._free = asyncio.Semaphore(limit)

    async def run(self, function: Callable[[], Any]) -> Returned | Raised:
        """Call `function` in a thread of its own. Cancelled, it runs on and keeps its place.

        Raises:
            RuntimeError: No further thread can be started.
        """
        await self._free.acquire()
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[Returned | Raised] = loop.create_future()
        context = contextvars.copy_context()

        def work() -> None:
            _quick_switches.begin()
            try:
                outcome = context.run(_contained, function)
            finally:
                _quick_switches.end()
            # The loop may be closed by then, and with it the future.
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

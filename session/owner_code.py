"""`OwnerCode`: runs functions of an agent's owner, off the audio path, each within a deadline.

A plain function runs in a thread, an async one on the loop. Whatever they raise, and however long
they take, is a failure of that one function: reported with its place, and nothing else.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final

from conversation.owner_failure import MAX_MESSAGE_CHARACTERS, OwnerFailure, OwnerSource
from tool_threads import Raised, Returned, ToolThreads
from untrusted.boundary import Boundary, Caught, InputKind
from untrusted.json_reader import mend_text
from untrusted.owner_place import error_place, function_place
from utils import OwnedTasks, wall_clock_ms

MAX_THREADS: Final = 16
"""Plain functions of one call that run at once; those that hang keep their place."""


@dataclass(frozen=True, slots=True)
class Ran:
    """A function's value."""

    value: Any


class OwnerCode:
    """Runs owners' functions and reports their failures."""

    def __init__(
        self,
        boundary: Boundary,
        log: logging.Logger,
        on_failure: Callable[[OwnerFailure], None],
    ) -> None:
        """on_failure: gets each failure; must return at once"""
        self._boundary = boundary
        self._log = log
        self._on_failure = on_failure
        self._threads = ToolThreads(MAX_THREADS)
        self._tasks = OwnedTasks(log)

    async def run(
        self,
        source: OwnerSource,
        name: str,
        function: Callable[..., Any],
        *arguments: Any,
        timeout_s: float,
    ) -> Ran | None:
        """Call a plain or async function; None if it failed, which is reported."""
        # In a task of its own: a function may cancel its task, and may ignore a cancellation.
        work = self._tasks.start(self._work(function, arguments), name=f"{source} {name}")
        try:
            await asyncio.wait([work], timeout=timeout_s)
        finally:
            work.cancel()
        if not work.done():
            self.report(source, name, f"took longer than {timeout_s:g} s", function_place(function))
            return None
        ended = Raised(asyncio.CancelledError()) if work.cancelled() else work.result()
        if isinstance(ended, Raised):
            self.report_error(source, name, ended.error, function)
            return None
        return Ran(ended.value)

    async def _work(
        self, function: Callable[..., Any], arguments: tuple[Any, ...]
    ) -> Returned | Raised:
        with Caught() as caught:  # whatever an owner's function raises stays its own
            if inspect.iscoroutinefunction(function):
                return Returned(await function(*arguments))
            ended = await self._threads.run(functools.partial(function, *arguments))
            # A callable object or a partial may hide a coroutine function.
            if isinstance(ended, Returned) and issubclass(type(ended.value), Awaitable):
                return Returned(await ended.value)
            return ended
        assert caught.error is not None
        return Raised(caught.error)

    async def contain(self, coroutine: Coroutine[Any, Any, Any], name: str) -> None:
        """Run a coroutine of the owner's as a background task, without a deadline."""
        with Caught() as caught:
            await coroutine
        if caught.error is not None:
            self.report_error("task", name, caught.error)

    # -- reporting ---------------------------------------------------------------------------------

    def report_error(
        self,
        source: OwnerSource,
        name: str,
        error: BaseException,
        function: Callable[..., Any] | None = None,
    ) -> None:
        """Report what a function raised."""
        place = error_place(error)
        if not place and function is not None:
            place = function_place(function)
        text = "its own text cannot be read"
        with Caught():  # `__str__` of a class of the owner's
            text = str(error)
        kind = type(error).__name__
        self.report(source, name, f"{kind}: {text}" if text else kind, place)
        self._log.debug("%s %s failed", source, name, exc_info=error)

    def report(self, source: OwnerSource, name: str, message: str, place: str) -> None:
        """Report a failure; the log gets its place, the record also its text."""
        self._boundary.failures[InputKind.HOOK] += 1
        self._log.warning("%s %s failed at %s", source, name, place or "an unknown place")
        self.note(source, name, message, place)

    def note(self, source: OwnerSource, name: str, message: str, place: str) -> None:
        """Report a failure that was logged and counted elsewhere."""
        failure = OwnerFailure(
            source=source,
            name=mend_text(name)[:64],
            message=mend_text(message)[:MAX_MESSAGE_CHARACTERS],
            place=mend_text(place),
            at_ms=wall_clock_ms(),
        )
        with self._boundary.guard(InputKind.INTERNAL, "report of an owner's failure"):
            self._on_failure(failure)

    async def close(self) -> None:
        """Cancel what still runs."""
        await self._tasks.close()

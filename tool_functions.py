"""Runs the functions of tools: coroutines on the loop, plain functions in threads.

Whatever a function does, the call has an outcome within its timeout. Arguments and results may hold
private words, so they are never logged.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Any, Final, Protocol, runtime_checkable

from tool_generators import Collected
from tool_results import (
    Result,
    ToolOutcome,
    UnserializableResultError,
    failure,
    is_plain,
    to_output,
)
from tool_stalls import StallWatch, Step
from tool_threads import Raised, Returned, ToolThreads
from untrusted.boundary import Caught
from untrusted.json_reader import mend_text
from utils import OwnedTasks

MAX_ERROR_CHARACTERS: Final = 4_000
"""Of the text of a `ToolError`; the rest is cut."""

MAX_CAUSE_CHARACTERS: Final = 500

APPROVAL_RULE_TIMEOUT_S: Final = 5.0
"""For a function that decides if a call needs an approval; without a decision it needs one."""

ApprovalRule = bool | Callable[[dict[str, Any]], bool | Awaitable[bool]]
"""Always, never, or a function of the arguments."""

_log = logging.getLogger("tools")


class ToolError(Exception):
    """Raised by a tool function to report a failure to the model, in words fit to be spoken."""


@runtime_checkable
class Schema(Protocol):
    """Schema of a tool's arguments."""

    @property
    def parameters(self) -> Mapping[str, Any]:
        """The JSON Schema."""
        ...

    def read(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Check the arguments and return them as the function takes them."""
        ...


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A registered tool.

    function: None when the client runs it
    place: file and line of the function as its owner wrote it; empty for one of ours
    """

    name: str
    description: str
    schema: Schema
    timeout_s: float
    function: Callable[..., Any] | None
    place: str = ""
    is_cancelled_by_interrupt: bool = False
    needs_approval: ApprovalRule = False
    start_response: bool = True


class FunctionRunner:
    """Runs functions in tasks and threads of its own. Raises nothing but cancellation."""

    def __init__(self) -> None:
        self._threads = ToolThreads()
        self._tasks = OwnedTasks(_log)
        self._stalls = StallWatch()

    async def run(
        self,
        tool: ToolSpec,
        function: Callable[..., Any],
        arguments: dict[str, Any],
        on_progress: Callable[[str], object],
    ) -> ToolOutcome:
        """Run one call. on_progress: is called on the loop with words to speak meanwhile"""
        # In a task of its own: a tool may cancel its task, and may ignore a cancellation.
        work = self._tasks.start(
            self._work(tool, function, arguments, on_progress), name=f"tool {tool.name}"
        )
        try:
            await asyncio.wait([work], timeout=tool.timeout_s)
        finally:
            work.cancel()
        if not work.done():
            return silence(tool)
        return failed(tool, asyncio.CancelledError()) if work.cancelled() else work.result()

    async def needs_approval(self, tool: ToolSpec, arguments: dict[str, Any]) -> bool:
        """Return true if this call needs an approval, in doubt too."""
        if isinstance(tool.needs_approval, bool):
            return tool.needs_approval
        is_needed = True
        with Caught() as caught:
            async with asyncio.timeout(APPROVAL_RULE_TIMEOUT_S):
                ended = await self._call(tool, tool.needs_approval, (arguments,), {})
            if isinstance(ended, Raised):
                log_failure("the approval rule of tool", tool, ended.error)
            else:
                is_needed = bool(ended.value)
        if caught.error is not None:
            log_failure("the approval rule of tool", tool, caught.error)
        return is_needed

    async def close(self) -> None:
        """Cancel running calls."""
        await self._tasks.close()

    async def _work(
        self,
        tool: ToolSpec,
        function: Callable[..., Any],
        arguments: dict[str, Any],
        on_progress: Callable[[str], object],
    ) -> ToolOutcome:
        # Contained: SystemExit would end the loop, and a CancelledError would look like ours.
        with Caught() as caught:
            ended = await self._call(tool, function, (), arguments)
            if isinstance(ended, Returned):
                ended = await self._collected(tool, ended.value, on_progress)
            if isinstance(ended, Raised):
                return _raised(tool, ended.error)
            return await self._outcome(tool, ended.value)
        assert caught.error is not None
        return _raised(tool, caught.error)

    async def _call(
        self,
        tool: ToolSpec,
        function: Callable[..., Any],
        positional: tuple[Any, ...],
        named: Mapping[str, Any],
    ) -> Returned | Raised:
        call = functools.partial(function, *positional, **named)
        if inspect.iscoroutinefunction(function):
            ended: Returned | Raised = Returned(call())
        else:
            ended = await self._threads.run(call)
        # A callable object or a partial may hide a coroutine function, and either return another.
        while isinstance(ended, Returned) and issubclass(type(ended.value), Awaitable):
            ended = Returned(await self._watched(tool, ended.value))
        return ended

    async def _watched(self, tool: ToolSpec, awaitable: Awaitable[Any]) -> Any:
        """Wait for foreign code on the loop, watching that it does not block the loop."""
        if not inspect.iscoroutine(awaitable):
            return await awaitable
        find = functools.partial(_place_in_stack, folder=_folder_of(tool.place))
        return await self._stalls.run(awaitable, Step(tool.name, tool.place, find))

    async def _collected(
        self, tool: ToolSpec, value: Any, on_progress: Callable[[str], object]
    ) -> Returned | Raised:
        """Run a generator to its end."""
        if issubclass(type(value), AsyncIterator):
            collecting = Collected(on_progress).take_all_async(value)
            return Returned(await self._watched(tool, collecting))
        if issubclass(type(value), Generator):
            loop = asyncio.get_running_loop()
            collected = Collected(lambda text: loop.call_soon_threadsafe(on_progress, text))
            return await self._threads.run(functools.partial(collected.take_all, value))
        return Returned(value)

    async def _outcome(self, tool: ToolSpec, value: Any) -> ToolOutcome:
        """Convert the tool's value; code of the value's own class runs in a thread."""
        if isinstance(value, Result):
            tool = replace(tool, start_response=tool.start_response and not value.is_silent)
            return replace(await self._outcome(tool, value.value), shown=value.shown)
        if is_plain(value):
            return outcome_of(tool, value)
        ended = await self._threads.run(functools.partial(outcome_of, tool, value))
        if isinstance(ended, Raised):
            return _unconvertible(tool, ended.error)
        outcome: ToolOutcome = ended.value
        return outcome


def outcome_of(tool: ToolSpec, value: Any) -> ToolOutcome:
    """Convert the tool's value to an outcome; a failure to convert it says that the tool ran."""
    with Caught() as caught:  # the value's own code may raise anything
        return ToolOutcome(to_output(value), start_response=tool.start_response)
    assert caught.error is not None
    return _unconvertible(tool, caught.error)


def failed(tool: ToolSpec, error: BaseException) -> ToolOutcome:
    """Return the outcome of a call whose function failed unexpectedly; log it."""
    place = log_failure("tool", tool, error)
    text = f"{tool.name} failed unexpectedly ({type(error).__name__})"
    return replace(failure(text, is_unexpected=True), cause=_cause(error), place=place)


def silence(tool: ToolSpec) -> ToolOutcome:
    """Return the outcome of a call that went on past its timeout."""
    return failure(f"{tool.name} gave no answer within {tool.timeout_s:g} seconds")


def log_failure(what: str, tool: ToolSpec, error: BaseException) -> str:
    """Log a failure by its class and its place, which is returned; its text at DEBUG only."""
    place = _place_in_traceback(error, tool.place)
    at = f" at {place}" if place else ""
    _log.warning("%s %s failed: %s%s", what, tool.name, type(error).__name__, at)
    _log.debug("%s %s failed", what, tool.name, exc_info=error)
    return place


def _unconvertible(tool: ToolSpec, error: BaseException) -> ToolOutcome:
    if isinstance(error, UnserializableResultError):
        return failure(f"it ran, but {error}")
    place = log_failure("the result of tool", tool, error)
    text = f"it ran, but its result cannot be read ({type(error).__name__})"
    return replace(failure(text, is_unexpected=True), cause=_cause(error), place=place)


def _raised(tool: ToolSpec, error: BaseException) -> ToolOutcome:
    if not isinstance(error, ToolError):
        return failed(tool, error)
    with Caught() as caught:  # so may a subclass's `__str__`
        return failure(mend_text(str(error)[:MAX_ERROR_CHARACTERS]))
    assert caught.error is not None
    return failed(tool, caught.error)


def _cause(error: BaseException) -> str:
    with Caught():  # code of the error's own class
        return mend_text(f"{type(error).__name__}: {error}"[:MAX_CAUSE_CHARACTERS])
    return type(error).__name__


# -- places in owners' code ------------------------------------------------------------------------


def place_of_function(function: Callable[..., Any]) -> str:
    """Return file and line of a function; empty if it has none."""
    target: Any = inspect.unwrap(function)
    while isinstance(target, functools.partial):
        target = target.func
    code = getattr(target, "__code__", None)
    return "" if code is None else f"{code.co_filename}:{code.co_firstlineno}"


def _folder_of(place: str) -> Path | None:
    return Path(place.rpartition(":")[0]).parent if place else None


def _place_in_traceback(error: BaseException, place: str) -> str:
    """Return the innermost line in the folder of the tool; `place` if there is none."""
    folder, found, traceback = _folder_of(place), place, error.__traceback__
    while folder is not None and traceback is not None:
        if Path(traceback.tb_frame.f_code.co_filename).is_relative_to(folder):
            found = f"{traceback.tb_frame.f_code.co_filename}:{traceback.tb_lineno}"
        traceback = traceback.tb_next
    return found


def _place_in_stack(frame: FrameType, *, folder: Path | None) -> str:
    """Return the innermost line of a stack in `folder`; empty if there is none."""
    at: FrameType | None = frame
    while folder is not None and at is not None:
        if Path(at.f_code.co_filename).is_relative_to(folder):
            return f"{at.f_code.co_filename}:{at.f_lineno}"
        at = at.f_back
    return ""

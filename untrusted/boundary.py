"""Containment of failures that foreign input or code triggers: a failure costs that input alone.

Everything raised inside is contained, including `SystemExit` and a `CancelledError` raised by the
foreign code. Cancellation of the running task passes through.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Any, Final

MAX_PLACES: Final = 256
_REPEAT_INTERVAL_S: Final = 1.0
_FRAMES_SHOWN: Final = 4


class InputKind(StrEnum):
    """Kinds of contained input; the field names of `conversation.vitals.InputFailures`."""

    CLIENT_EVENT = "client_event"
    PROVIDER_EVENT = "provider_event"
    TOOL = "tool"
    COMMAND = "command"
    CHAT = "chat"
    ROOM_EVENT = "room_event"
    HOOK = "hook"
    INTERNAL = "internal"


def is_own_end(error: BaseException) -> bool:
    """Return true if `error` ends the running code itself rather than coming from a callee.

    To be called where `error` was caught, in the calling coroutine.
    """
    if isinstance(error, asyncio.CancelledError):
        task = _current_task()
        return task is not None and task.cancelling() > 0
    if isinstance(error, GeneratorExit):
        # Closing a coroutine raises this at its own `await`; raised deeper, it is foreign.
        traceback = error.__traceback__
        return traceback is None or traceback.tb_next is None
    return False


class Caught:
    """A context manager that keeps an error of foreign code; the caller's own end passes through."""

    def __init__(self) -> None:
        self.error: BaseException | None = None

    def __enter__(self) -> Caught:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> bool:
        if error is None or is_own_end(error):
            return False
        self.error = error
        return True


def place_of(error: BaseException) -> str:
    """Return the innermost frames of `error`: files, lines and functions, no values."""
    frames: list[str] = []
    traceback = error.__traceback__
    while traceback is not None:
        code = traceback.tb_frame.f_code
        name = "/".join(Path(code.co_filename).parts[-2:])
        frames.append(f"{name}:{traceback.tb_lineno} {code.co_name}")
        del frames[:-_FRAMES_SHOWN]
        traceback = traceback.tb_next
    return " > ".join(frames) or "an unknown place"


def unowned_failures(
    log: logging.Logger,
) -> Callable[[asyncio.AbstractEventLoop, dict[str, Any]], None]:
    """Return a loop's exception handler for failures without a waiter, such as a tool's own task.

    Type and place are logged as an error; the text, which may contain speech, at DEBUG only.
    """

    def handle(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if isinstance(error, BaseException):
            cause, place = type(error).__name__, place_of(error)
            log.error("a background task failed: %s at %s", cause, place)
        else:
            log.error("the loop: %s", context.get("message"))
        log.debug("the loop: %s", context.get("message"), exc_info=error)

    return handle


class Boundary:
    """Contains failures, counts them by kind, and logs each place once as an error.

    Repeated failures of a place are at most one warning a second; the details, which may contain
    speech, are logged at DEBUG only.
    """

    def __init__(self, log: logging.Logger) -> None:
        self.failures: Counter[InputKind] = Counter()
        self._log = log
        self._places: set[tuple[InputKind, str, str]] = set()
        self._warned_s: dict[InputKind, float] = {}

    def guard(
        self, kind: InputKind, what: str, *, expected: tuple[type[Exception], ...] = ()
    ) -> Guard:
        """Return a context manager that contains everything raised in it.

        what: label for the log, never foreign text
        expected: classes contained without being counted; logged at DEBUG
        """
        return Guard(self, kind, what, expected)

    def wrap(
        self, kind: InputKind, what: str, function: Callable[..., object]
    ) -> Callable[..., None]:
        """Return `function` with each call contained."""

        def contained(*arguments: Any) -> None:
            with self.guard(kind, what):
                function(*arguments)

        return contained

    def note(self, kind: InputKind, what: str, error: BaseException) -> None:
        """Count and log a failure that was contained elsewhere."""
        self.failures[kind] += 1
        cause, place = type(error).__name__, place_of(error)
        self._log.debug("%s %s failed", kind, what, exc_info=error)
        now_s = time.monotonic()
        if (key := (kind, cause, place)) not in self._places:
            if len(self._places) < MAX_PLACES:
                self._places.add(key)
            self._log.error("%s %s failed: %s at %s", kind, what, cause, place)
        elif now_s - self._warned_s.get(kind, float("-inf")) >= _REPEAT_INTERVAL_S:
            self._log.warning(
                "%s %s failed again (%d so far): %s", kind, what, self.failures[kind], cause
            )
        else:
            return
        self._warned_s[kind] = now_s

    def note_expected(self, kind: InputKind, what: str, error: BaseException) -> None:
        """Log an expected failure at DEBUG."""
        self._log.debug("%s %s failed as expected: %s", kind, what, type(error).__name__)


class Guard:
    """One use of a boundary. failure: class name of the contained error; None if none."""

    def __init__(
        self,
        boundary: Boundary,
        kind: InputKind,
        what: str,
        expected: tuple[type[Exception], ...],
    ) -> None:
        self.failure: str | None = None
        self.what = what
        self._boundary = boundary
        self._kind = kind
        self._expected = expected

    def __enter__(self) -> Guard:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> bool:
        if error is None or is_own_end(error):
            return False
        self.failure = type(error).__name__
        if isinstance(error, self._expected):
            self._boundary.note_expected(self._kind, self.what, error)
        else:
            self._boundary.note(self._kind, self.what, error)
        return True


def _current_task() -> asyncio.Task[Any] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None

"""Helpers for any layer: tasks, bounds, rate limits, loopback and origin checks. Imports no module of this project."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import signal
import time
from collections import OrderedDict
from collections.abc import Coroutine, Iterator
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

FUNCTION_PATTERN: Final = r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*$"
"""`package.module:function`: code that settings and definitions may name, and clients never."""

T = TypeVar("T")
K = TypeVar("K")
V = TypeVar("V")


STOP_SIGNALS: Final = frozenset({signal.SIGINT, signal.SIGTERM})


@contextlib.contextmanager
def held_stop_signals() -> Iterator[None]:
    """Have signals to stop wait for the end of the block, in this thread and those that it starts in
    there, which never get them.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def wall_clock_ms() -> int:
    """Unix time in milliseconds, for stamps in messages and logs; never for deadlines."""
    return int(time.time() * 1000)


def named_values(text: str, separators: str = ";\n") -> list[tuple[str, str | None]]:
    """Parse `name=value` entries between any of `separators`; empty entries are skipped.

    The value is None for an entry without `=`. Blanks around names and values are removed.
    """
    found: list[tuple[str, str | None]] = []
    for entry in re.split(f"[{re.escape(separators)}]", text):
        name, equals, value = (part.strip() for part in entry.partition("="))
        if name or equals:
            found.append((name, value if equals else None))
    return found


class OwnedTasks:
    """Tasks with an owner: each failure is logged at once, and `close` leaves none behind."""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._tasks: set[asyncio.Task[Any]] = set()

    def start(self, coroutine: Coroutine[Any, Any, Any], *, name: str) -> asyncio.Task[Any]:
        """Run `coroutine` as a task of this owner."""
        task = asyncio.get_running_loop().create_task(coroutine, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._handle_done)
        return task

    def _handle_done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._log.error("task %s failed", task.get_name(), exc_info=error)

    def __len__(self) -> int:
        return len(self._tasks)

    async def close(self) -> None:
        """Cancel all tasks and wait for their end. A cancellation of the caller passes through."""
        current = asyncio.current_task()
        tasks = [task for task in self._tasks if task is not current]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)


def sole_cause(error: BaseException) -> BaseException:
    """Unwrap nested exception groups of one member; return any other error unchanged."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


async def cancel_and_wait(task: asyncio.Task[Any]) -> None:
    """Cancel `task` and wait for its end; `asyncio.wait` never raises the child's cancellation."""
    task.cancel()
    await asyncio.wait([task])


def is_loopback(netloc: str) -> bool:
    """Return true if `host` or `host:port` is a loopback name or address, safe from DNS rebinding."""
    try:
        name = urlsplit(f"//{netloc}").hostname
    except ValueError:
        return False
    return name in ("127.0.0.1", "::1", "localhost")


def is_own_origin(origin: str, host: str) -> bool:
    """Return true if an `Origin` header names the same host as the request's `Host` header.

    Schemes are not compared: they differ behind a proxy that terminates TLS.
    """
    try:
        name = urlsplit(origin).netloc
    except ValueError:
        return False
    return name != "" and name.lower() == host.lower()


def shorten(value: Any, limit: int = 120) -> Any:
    """Return a copy of parsed JSON with long strings cut, for wire logging."""
    match value:
        case str() if len(value) > limit:
            return f"{value[:limit]}… ({len(value)} characters)"
        case dict():
            return {key: shorten(item, limit) for key, item in value.items()}
        case list():
            return [shorten(item, limit) for item in value]
        case _:
            return value


async def run_unless(stopped: asyncio.Future[Any], coroutine: Coroutine[Any, Any, T]) -> T | None:
    """Run `coroutine` until it ends or `stopped` is done; then it is cancelled and None returned."""
    task = asyncio.get_running_loop().create_task(coroutine)
    try:
        await asyncio.wait({task, stopped}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        if not task.done():
            await cancel_and_wait(task)
    return None if task.cancelled() else task.result()


class BoundedDict(OrderedDict[K, V]):
    """A dict of at most `limit` entries, oldest first: one more removes the oldest.

    An assignment to a known key keeps its place; `move_to_end` makes it the newest.
    """

    def __init__(self, limit: int) -> None:
        super().__init__()
        self._limit = limit

    def __setitem__(self, key: K, value: V) -> None:
        super().__setitem__(key, value)
        if len(self) > self._limit:
            self.popitem(last=False)


class BacklogWarning:
    """Warns when a queue grows to `threshold` entries, once per growth.

    The next warning comes only after the queue was seen at half of the threshold or less.
    """

    def __init__(self, log: logging.Logger, queue: str, threshold: int) -> None:
        self._log = log
        self._queue = queue
        self._threshold = threshold
        self._is_grown = False

    def observe(self, size: int) -> None:
        """Take the queue's size; to be called whenever something is added to it."""
        if size >= self._threshold and not self._is_grown:
            self._is_grown = True
            self._log.warning("queue %s grows: %d entries wait", self._queue, size)
        elif size <= self._threshold // 2:
            self._is_grown = False


class TokenBucket:
    """Allows `per_s` events a second on average and `burst` at once."""

    def __init__(self, per_s: float, burst: int) -> None:
        self._per_s = per_s
        self._burst = burst
        self._left = float(burst)
        self._at_s: float | None = None

    def allow(self, now_s: float, cost: float = 1) -> bool:
        """Count an event at `now_s` (monotonic) as `cost` events; return false if over the rate."""
        if self._at_s is not None:
            refill = max(0.0, now_s - self._at_s) * self._per_s
            self._left = min(self._burst, self._left + refill)
        self._at_s = now_s
        if self._left < cost:
            return False
        self._left -= cost
        return True

    def charge(self, cost: int) -> None:
        """Count `cost` events that were not asked for; the debt is at most a burst."""
        self._left = max(-float(self._burst), self._left - cost)

    def wait_s(self) -> float:
        """Return the seconds after the last event until another one is allowed."""
        return max(0.0, 1 - self._left) / self._per_s

"""`VirtualTime`: a call of seconds in milliseconds, on the event loop that runs already.

While it is entered, `time.monotonic` and the running loop keep a clock that jumps to the next timer as
soon as nothing else is to be done, and stands still while the loop works: how busy the machine is changes
nothing. It runs as real time does while the loop waits for a thread of a plain function or with a
socket open, since those do not wait for it. Wall clock (`time.time`) and the waits of threads stay
real.
"""

from __future__ import annotations

import asyncio
import contextlib
import selectors
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, Future
from types import TracebackType
from typing import Any, Final, Self

_SLICE_S: Final = 0.005
"""Of real time, while a thread works: its end wakes up the loop anyhow."""

_real_monotonic = time.monotonic


class VirtualTime:
    """Enter it where an event loop runs; nothing else may do so in this process meanwhile."""

    def __init__(self) -> None:
        self._now_s = 0.0
        # While the loop waits in real time: since when.
        self._waiting_since_s: float | None = None
        self._loop: Any = None
        self._selector: selectors.BaseSelector | None = None
        self._own_sockets = 0
        self._busy_executors = 0

    def __enter__(self) -> Self:
        if time.monotonic is not _real_monotonic:
            raise RuntimeError("virtual time is in use already, by another call in this process")
        self._loop = asyncio.get_running_loop()
        selector = getattr(self._loop, "_selector", None)
        if not isinstance(selector, selectors.BaseSelector):
            raise TypeError("virtual time needs asyncio's own event loop, not another one")
        self._selector = selector
        self._now_s = _real_monotonic()
        self._own_sockets = len(selector.get_map() or {})
        self._loop._selector = _Jumping(selector, self)  # noqa: SLF001 - there is no other way in
        self._loop.run_in_executor = self._run_in_executor
        time.monotonic = self.now_s
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        time.monotonic = _real_monotonic
        self._loop._selector = self._selector  # noqa: SLF001
        del self._loop.run_in_executor

    def now_s(self) -> float:
        """Return the time of this clock."""
        since_s = self._waiting_since_s
        return self._now_s if since_s is None else self._now_s + _real_monotonic() - since_s

    def skip(self, seconds: float) -> None:
        """Let so much time pass at once."""
        self._now_s += seconds

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Let time pass as it really does."""
        self._waiting_since_s = _real_monotonic()
        try:
            yield
        finally:
            self._now_s, self._waiting_since_s = self.now_s(), None

    @property
    def must_be_real(self) -> bool:
        """True while something works that does not wait for this clock."""
        assert self._selector is not None
        has_sockets = len(self._selector.get_map() or {}) > self._own_sockets
        has_threads = any(each.name == "tool" for each in threading.enumerate())
        return has_sockets or has_threads or self._busy_executors > 0

    def _run_in_executor(
        self, executor: Executor | None, function: Callable[..., Any], *arguments: Any
    ) -> asyncio.Future[Any]:
        future = type(self._loop).run_in_executor(self._loop, executor, function, *arguments)
        self._busy_executors += 1
        future.add_done_callback(self._handle_done)
        ended: asyncio.Future[Any] = future
        return ended

    def _handle_done(self, _: Future[Any] | asyncio.Future[Any]) -> None:
        self._busy_executors -= 1


class _Jumping:
    """A selector that waits by moving the clock."""

    def __init__(self, selector: selectors.BaseSelector, clock: VirtualTime) -> None:
        self._selector = selector
        self._clock = clock

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Return what is ready; if nothing is, let the time until the next timer pass."""
        ready = self._selector.select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        if timeout is not None and not self._clock.must_be_real:
            self._clock.skip(timeout)
            return []
        with self._clock.running():
            return self._selector.select(None if timeout is None else min(timeout, _SLICE_S))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._selector, name)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        """Return what is registered."""
        return self._selector.get_map()

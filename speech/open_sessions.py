"""The open sessions of a process, whatever their transport: counted together, ended together."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Final

from speech.access import RefusedError

CLOSE_TIMEOUT_S: Final = 1.0

End = Callable[[], Awaitable[object]]
"""Says goodbye to a session's client. Idempotent."""


class OpenSessions:
    """At most `limit` at once, and none that would have the others stutter."""

    def __init__(self, limit: int, *, overload: Callable[[], str | None] = lambda: None) -> None:
        """overload: returns why there can be no more for now, if so"""
        self._limit = limit
        self._overload = overload
        self._ends: dict[object, End] = {}
        self._is_closing = False

    def __len__(self) -> int:
        return len(self._ends)

    def check(self) -> None:
        """Check that one more may be opened.

        Raises:
            RefusedError: it may not.
        """
        if self._is_closing:
            raise RefusedError(503, "stopping", "The server is stopping.")
        if len(self._ends) >= self._limit:
            raise RefusedError(503, "too_many_sessions", f"At most {self._limit} sessions at once.")
        if (reason := self._overload()) is not None:
            raise RefusedError(503, "too_many_sessions", reason)

    @property
    def is_open(self) -> bool:
        """True if one more may be opened."""
        try:
            self.check()
        except RefusedError:
            return False
        return True

    @contextmanager
    def opened(self, end: End) -> Iterator[None]:
        """Count a session while it is open. end: called when the server stops."""
        key = object()
        self._ends[key] = end
        try:
            yield
        finally:
            del self._ends[key]

    async def close(self) -> None:
        """Admit no more, and end all; takes at most `CLOSE_TIMEOUT_S`."""
        self._is_closing = True
        ends = [end() for end in list(self._ends.values())]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await asyncio.gather(*ends, return_exceptions=True)

"""Unix time that never jumps within a process, for span timestamps."""

from __future__ import annotations

import time


class SpanClock:
    """The wall clock at construction, advanced by the monotonic clock."""

    def __init__(self) -> None:
        self._offset_ns = time.time_ns() - time.monotonic_ns()

    def now_ns(self) -> int:
        """Return the time in Unix nanoseconds."""
        return self._offset_ns + time.monotonic_ns()

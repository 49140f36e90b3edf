"""Unix time that never jumps within a process: what spans are stamped with."""

from __future__ import annotations

import time


class SpanClock:
    """The wall clock as it was when this was made, and the monotonic one from there on."""

    def __init__(self) -> None:
        self._offset_ns = time.time_ns() - time.monotonic_ns()

    def now_ns(self) -> int:
        """Nanoseconds since 1970."""
        return self._offset_ns + time.monotonic_ns()

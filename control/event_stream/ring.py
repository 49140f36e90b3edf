"""`EventRing`: the latest events of one call, numbered and bounded. Pure."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

MAX_EVENTS: Final = 512
MAX_BYTES: Final = 256 * 1024


@dataclass(frozen=True, slots=True)
class NumberedEvent:
    """One event as JSON; numbers of a call start at 1."""

    number: int
    data: str


class EventRing:
    """A ring buffer of events; past its bounds the oldest are dropped, at least one stays."""

    def __init__(self, max_events: int = MAX_EVENTS, max_bytes: int = MAX_BYTES) -> None:
        self.last = 0
        self._max_events = max_events
        self._max_bytes = max_bytes
        self._events: deque[NumberedEvent] = deque()
        self._size_bytes = 0

    def append(self, data: str) -> None:
        """Append the next event."""
        self.last += 1
        self._events.append(NumberedEvent(self.last, data))
        self._size_bytes += len(data.encode())
        while len(self._events) > 1 and self._is_over():
            self._size_bytes -= len(self._events.popleft().data.encode())

    def _is_over(self) -> bool:
        return len(self._events) > self._max_events or self._size_bytes > self._max_bytes

    def since(self, number: int) -> list[NumberedEvent]:
        """Return the events after `number` that are still kept."""
        first = self._first
        return [self._events[at] for at in range(max(0, number + 1 - first), len(self._events))]

    def missed(self, number: int) -> int:
        """Return the number of events after `number` that were dropped."""
        return max(0, self._first - 1 - number)

    def clear(self) -> None:
        """Drop all events; their numbers are not reused."""
        self._events.clear()
        self._size_bytes = 0

    @property
    def _first(self) -> int:
        """Number of the oldest event kept, or of the next one."""
        return self._events[0].number if self._events else self.last + 1

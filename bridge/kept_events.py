"""Events of a session that its client may not have got yet, for when it resumes. Pure."""

from __future__ import annotations

from collections import deque
from typing import Final

MAX_EVENTS: Final = 512
MAX_BYTES: Final = 1024 * 1024


class KeptEvents:
    """Numbers events from 1 on and keeps the last ones."""

    def __init__(self, last_seq: int = 0) -> None:
        """last_seq: of the session before, when this one goes on with its numbers"""
        self.last_seq = last_seq
        self._events: deque[tuple[int, str]] = deque()
        self._bytes = 0

    def add(self, text: str) -> int:
        """Keep an event and return its number."""
        self.last_seq += 1
        self._events.append((self.last_seq, text))
        self._bytes += len(text)
        while len(self._events) > MAX_EVENTS or self._bytes > MAX_BYTES:
            _, dropped = self._events.popleft()
            self._bytes -= len(dropped)
        return self.last_seq

    def after(self, seq: int) -> tuple[list[tuple[int, str]], int]:
        """Return the kept events after this number, and how many are lost between it and them."""
        kept = [event for event in self._events if event[0] > seq]
        first = kept[0][0] if kept else self.last_seq + 1
        return kept, max(0, first - seq - 1)

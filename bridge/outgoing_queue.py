"""The queue of a client that reads too slowly. Pure.

Of audio the oldest goes first, beyond a second of it: what is late is not worth hearing, and a cut that
the client is told of must not wait behind it. All else is kept in its order. A client for which too much
of that waits, or that takes nothing for long, is given up.
"""

from __future__ import annotations

from collections import deque
from typing import Final, NamedTuple

MAX_AUDIO_MESSAGES: Final = 50
MAX_BYTES: Final = 4 * 1024 * 1024
"""Of everything but audio."""


class Waiting(NamedTuple):
    """One message."""

    message: str | bytes
    is_audio: bool


class OutgoingQueue:
    """Messages in order, bounded."""

    def __init__(self) -> None:
        self.dropped_audio = 0
        self._waiting: deque[Waiting] = deque()
        self._audio_messages = 0
        self._other_bytes = 0

    def __bool__(self) -> bool:
        return bool(self._waiting)

    @property
    def is_too_long(self) -> bool:
        """True when the client has to be given up."""
        return self._other_bytes > MAX_BYTES

    def put(self, message: str | bytes, *, is_audio: bool) -> None:
        """Add a message at the end."""
        if is_audio:
            self._audio_messages += 1
            if self._audio_messages > MAX_AUDIO_MESSAGES:
                self._drop_oldest_audio()
        else:
            self._other_bytes += len(message)
        self._waiting.append(Waiting(message, is_audio))

    def take(self) -> Waiting:
        """Remove and return the first message."""
        first = self._waiting.popleft()
        if first.is_audio:
            self._audio_messages -= 1
        else:
            self._other_bytes -= len(first.message)
        return first

    def clear(self) -> None:
        """Forget everything."""
        self._waiting.clear()
        self._audio_messages = self._other_bytes = 0

    def _drop_oldest_audio(self) -> None:
        for index, one in enumerate(self._waiting):
            if one.is_audio:
                del self._waiting[index]
                self._audio_messages -= 1
                self.dropped_audio += 1
                return

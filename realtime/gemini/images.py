"""At most one picture a second, as Gemini takes them. Pure.

Of several pictures within a second the newest is sent, when the second is over; those before it
are dropped, and counted.
"""

from __future__ import annotations

from typing import Final

PERIOD_S: Final = 1.0


class ImageLimiter:
    """Holds back one picture."""

    def __init__(self) -> None:
        self._sent_at_s: float | None = None
        self._waiting: bytes | None = None
        self.dropped = 0

    def show(self, jpeg: bytes, *, now_s: float) -> bytes | None:
        """A picture is there: what to send now, if anything."""
        self.dropped += self._waiting is not None
        self._waiting = jpeg
        return self.next_due(now_s=now_s)

    def next_due(self, *, now_s: float) -> bytes | None:
        """Return the image to send now, if any; cheap enough to be called often."""
        if self._waiting is None:
            return None
        if self._sent_at_s is not None and now_s - self._sent_at_s < PERIOD_S:
            return None
        due, self._waiting, self._sent_at_s = self._waiting, None, now_s
        return due

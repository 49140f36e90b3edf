"""The clock of the playout: calls its line whenever a frame is due; no timer runs in silence."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable

from rtc.playout import PlayoutPosition
from rtc.playout_line import PlayoutLine


class PlayoutClock:
    """Runs `line` on the loop's time, from `start` to `close`."""

    def __init__(self, line: PlayoutLine) -> None:
        self.line = line
        self.buffer = line.buffer
        self._loop: asyncio.AbstractEventLoop | None = None
        # The next step: a timer, not a task that a timer wakes, which would take a round of the loop
        # more for each frame.
        self._next: asyncio.Handle | None = None

    def start(self) -> None:
        """Begin to play. Must be called on the loop."""
        self._loop = asyncio.get_running_loop()
        self._wake()

    async def close(self) -> None:
        """Stop at once. Idempotent."""
        self._loop = None
        if self._next is not None:
            self._next.cancel()
        self.line.close()

    def push(self, key: Hashable, pcm: bytes) -> None:
        """Queue audio; it leaves at once when nothing was playing."""
        self.buffer.push(key, pcm)
        self._wake()

    def finish(self, key: Hashable) -> None:
        """No more audio for `key`."""
        self.line.finish(key)
        self._wake()

    def clear(self) -> tuple[PlayoutPosition, ...]:
        """Fall silent now; where each key stood."""
        positions = self.line.clear(asyncio.get_running_loop().time())
        self._wake()
        return positions

    def pause(self) -> None:
        """Fall silent now as `clear` does, and forget nothing."""
        self.line.pause(asyncio.get_running_loop().time())
        self._wake()

    def resume(self) -> None:
        """Go on with the very next sample, at once."""
        self.buffer.resume()
        self._wake()

    def _wake(self) -> None:
        """See soon what there is to send, unless the time for that is set already."""
        if self._next is None and self._loop is not None:
            self._next = self._loop.call_soon(self._step, self._loop)

    def _step(self, loop: asyncio.AbstractEventLoop) -> None:
        """Send what is due, and come back when more is."""
        self._next = None
        next_s, now_s = self.line.next_s, loop.time()
        while next_s is not None and next_s <= now_s:
            next_s = self.line.tick(now_s)
        if next_s is not None:
            self._next = loop.call_at(next_s, self._step, loop)

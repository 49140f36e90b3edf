"""The playout clock: wakes the sender whenever a frame is due; no timer runs in silence."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable

from line.playout.buffer import PlayoutPosition
from line.playout.sender import PlayoutSender


class PlayoutClock:
    """Runs `sender` on the loop's time, from `start` to `close`."""

    def __init__(self, sender: PlayoutSender) -> None:
        self.sender = sender
        self.buffer = sender.buffer
        self._loop: asyncio.AbstractEventLoop | None = None
        # The next step: a timer, not a task that a timer wakes, which would take a round of the loop
        # more for each frame.
        self._next: asyncio.Handle | None = None

    def start(self) -> None:
        """Begin to play. Must be called on the loop."""
        self._loop = asyncio.get_running_loop()
        self.wake()

    async def close(self) -> None:
        """Stop at once. Idempotent."""
        self._loop = None
        if self._next is not None:
            self._next.cancel()
        self.sender.close()

    def push(self, key: Hashable, pcm: bytes) -> None:
        """Queue audio. When nothing was playing its first frame leaves before this returns, ahead of
        whatever else the loop has to do; what is announced of it follows in a step of its own.
        """
        self.buffer.push(key, pcm)
        if self._next is None and self._loop is not None:
            self._send_due(self._loop)
            self.wake()

    def finish(self, key: Hashable) -> None:
        """No more audio for `key`."""
        self.sender.finish(key)
        self.wake()

    def clear(self) -> tuple[PlayoutPosition, ...]:
        """Fall silent now; where each key stood."""
        positions = self.sender.clear(asyncio.get_running_loop().time())
        self.wake()
        return positions

    def pause(self) -> None:
        """Fall silent now as `clear` does, and forget nothing."""
        self.sender.pause(asyncio.get_running_loop().time())
        self.wake()

    def resume(self) -> None:
        """Go on with the very next sample, at once."""
        self.buffer.resume()
        self.wake()

    def wake(self) -> None:
        """See soon what there is to send, unless the time for that is set already."""
        if self._next is None and self._loop is not None:
            self._next = self._loop.call_soon(self._step, self._loop)

    def _step(self, loop: asyncio.AbstractEventLoop) -> None:
        """Send what is due, and come back when more is."""
        self._next = None
        if (next_s := self._send_due(loop)) is not None:
            self._next = loop.call_at(next_s, self._step, loop)
        # Last: who is told may push or clear.
        self.sender.announce()

    def _send_due(self, loop: asyncio.AbstractEventLoop) -> float | None:
        next_s, now_s = self.sender.next_s, loop.time()
        while next_s is not None and next_s <= now_s:
            next_s = self.sender.send(now_s)
        return next_s

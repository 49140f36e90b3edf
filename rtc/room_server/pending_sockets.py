"""Sockets before they have joined a room: few of them wait, not for long, and say little."""

from __future__ import annotations

import asyncio
from typing import Final

from rtc.room_server.socket import CLOSE_JOIN_TIMEOUT, FrameReader, SocketSink, error_frame
from rtc.signaling.protocol import ErrorFrame, Join, SignalError

JOIN_TIMEOUT_S: Final = 10.0
MAX_JOIN_CHARACTERS: Final = 8 * 1024
"""Of a frame before joining: a token of 4096 and the rest."""

MAX_REFUSED_FRAMES: Final = 4
MAX_PENDING: Final = 200


class PendingSockets:
    """Sockets that have not joined yet. When there are too many, the one that waited longest goes.

    A real client joins at once, so that closing an idle one is no loss.
    """

    def __init__(self, max_pending: int = MAX_PENDING) -> None:
        self._max_pending = max_pending
        self._sinks: dict[SocketSink, None] = {}

    def __len__(self) -> int:
        return len(self._sinks)

    def add(self, sink: SocketSink) -> None:
        """One more waits, perhaps in place of another."""
        if len(self._sinks) >= self._max_pending:
            oldest = next(iter(self._sinks))
            self.remove(oldest)
            text = "no `join` yet, and too many others wait"
            oldest.deliver(ErrorFrame(code="join_timeout", message=text))
            oldest.close(CLOSE_JOIN_TIMEOUT)
        self._sinks[sink] = None

    def remove(self, sink: SocketSink) -> None:
        """It has joined, or ended. Idempotent."""
        self._sinks.pop(sink, None)


async def read_join(reader: FrameReader, sink: SocketSink) -> Join | None:
    """The first frame; others are refused, a few times. None: the socket has ended.

    Raises:
        SignalError: too_large, or not_joined once too many other frames came.
        TimeoutError: nothing came in time.
    """
    async with asyncio.timeout(JOIN_TIMEOUT_S):
        for _ in range(MAX_REFUSED_FRAMES):
            try:
                frame = await reader.read(MAX_JOIN_CHARACTERS)
            except SignalError as error:
                if error.code == "too_large":
                    raise
                refusal = error
            else:
                if frame is None or isinstance(frame, Join):
                    return frame
                refusal = SignalError("not_joined", "the first frame is `join`", frame.type)
            sink.deliver(error_frame(refusal))
    raise SignalError("not_joined", "too many frames before a `join`")

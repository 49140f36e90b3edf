"""One participant's WebSocket: bounded output, limited input, and the reason it ended."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from typing import Final, Protocol

from aiohttp import WSMsgType, web

from rtc.signaling.protocol import (
    ClientFrame,
    ErrorFrame,
    RelayedCandidate,
    RelayedChat,
    RelayedDescription,
    RelayedRefusal,
    ServerFrame,
    SignalError,
    parse_client_frame,
    serialize,
)
from utils import BacklogWarning, TokenBucket

MAX_WAITING_FRAMES: Final = 256
FRAMES_PER_S: Final = 100.0
FRAME_BURST: Final = 200
CHARACTERS_PER_S: Final = 256 * 1024.0
CHARACTER_BURST: Final = 2 * 1024 * 1024
SEND_TIMEOUT_S: Final = 10.0
CLOSE_TIMEOUT_S: Final = 2.0

CLOSE_REPLACED: Final = 4001
CLOSE_TOO_SLOW: Final = 4002
CLOSE_JOIN_TIMEOUT: Final = 4003
CLOSE_CODES: Final = {
    "unauthorized": 4401,
    "forbidden": 4403,
    "uid_taken": 4409,
    "too_large": 1009,
    "room_full": 4429,
    "server_full": 4429,
    "replaced": CLOSE_REPLACED,
}
"""Refusals that end the socket, with its close code."""

_log = logging.getLogger(__name__)


class FrameSink(Protocol):
    """Sink of a member's frames: a socket, or the pending answer of a one-request call."""

    def deliver(self, frame: ServerFrame, text: str | None = None, /) -> None:
        """Queue `frame`; never blocks, never raises. text: the frame as it travels, if known."""

    def close(self, code: int) -> None:
        """Stop sending frames and close with `code`. Idempotent."""


class SocketSink:
    """Writes frames in order. Over `MAX_WAITING_FRAMES` waiting, the socket is closed as too slow."""

    def __init__(self, ws: web.WebSocketResponse) -> None:
        self._ws = ws
        self._waiting: deque[tuple[ServerFrame, str | None]] = deque()
        self._backlog = BacklogWarning(_log, "of frames to a member", MAX_WAITING_FRAMES // 2)
        self._wake = asyncio.Event()
        self._close_code: int | None = None

    def deliver(self, frame: ServerFrame, text: str | None = None) -> None:
        """Queue `frame`; closes the socket instead when the participant does not read."""
        if self._close_code is not None:
            return
        self._waiting.append((frame, text))
        self._backlog.observe(len(self._waiting))
        if len(self._waiting) > MAX_WAITING_FRAMES:
            self._waiting.clear()
            self.close(CLOSE_TOO_SLOW)
        self._wake.set()

    def close(self, code: int) -> None:
        """Send what waits, then close with `code`."""
        if self._close_code is None:
            self._close_code = code
            self._wake.set()

    def undelivered(self) -> list[ServerFrame]:
        """Frames that a resuming participant must still get; the members are sent to it anew."""
        kept = (RelayedDescription, RelayedCandidate, RelayedRefusal, RelayedChat)
        return [frame for frame, _ in self._waiting if isinstance(frame, kept)]

    async def run(self) -> None:
        """Write until closed. Ends the socket in every case."""
        try:
            while self._waiting or self._close_code is None:
                await self._write_waiting()
                if self._close_code is None:
                    await self._wake.wait()
                    self._wake.clear()
        except (ConnectionError, TimeoutError) as error:
            _log.debug("signaling socket lost while writing: %r", error)
        finally:
            await self._close_socket()

    async def _write_waiting(self) -> None:
        while self._waiting:
            frame, text = self._waiting[0]
            async with asyncio.timeout(SEND_TIMEOUT_S):
                await self._ws.send_str(serialize(frame) if text is None else text)
            # Removed only once written, so that a resumed participant misses nothing. The queue
            # may have been dropped as too slow meanwhile.
            if self._waiting:
                self._waiting.popleft()

    async def _close_socket(self) -> None:
        code = 1001 if self._close_code is None else self._close_code
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._ws.close(code=code)
        except (ConnectionError, TimeoutError) as error:
            _log.debug("signaling socket did not close in time: %r", error)


class FrameReader:
    """Parses and limits what a participant sends; what is too much is not even looked at."""

    def __init__(self, ws: web.WebSocketResponse) -> None:
        self._ws = ws
        self._frames = TokenBucket(FRAMES_PER_S, FRAME_BURST)
        self._characters = TokenBucket(CHARACTERS_PER_S, CHARACTER_BURST)

    async def read(self, max_characters: int | None = None) -> ClientFrame | None:
        """The next frame; None when the socket has ended.

        Raises:
            SignalError: the frame is refused.
        """
        message = await self._ws.receive()
        if message.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
            return None
        now_s, size = time.monotonic(), len(message.data)
        if max_characters is not None and size > max_characters:
            raise SignalError("too_large", f"the first frame is at most {max_characters} bytes")
        if not self._frames.allow(now_s):
            raise SignalError("rate_limited", f"more than {FRAMES_PER_S:.0f} frames a second")
        if not self._characters.allow(now_s, size):
            text = f"more than {CHARACTERS_PER_S / 1024:.0f} KiB a second"
            raise SignalError("rate_limited", text)
        if message.type is not WSMsgType.TEXT:
            raise SignalError("malformed", "frames are JSON text, not binary")
        return parse_client_frame(message.data)


class RefusalReporter:
    """Error frames to a participant about refused frames; about too many, once a second."""

    def __init__(self, sink: SocketSink) -> None:
        self._sink = sink
        self._limit = TokenBucket(1.0, 1)

    def tell(self, error: SignalError) -> None:
        """Pass on `error`, unless it was said just now."""
        if error.code != "rate_limited" or self._limit.allow(time.monotonic()):
            self._sink.deliver(error_frame(error))


def error_frame(error: SignalError) -> ErrorFrame:
    """Return the error frame about a participant's frame."""
    return ErrorFrame(code=error.code, message=error.message, request=error.request)

"""One participant's WebSocket: bounded output, limited input, and the reason it ended."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

from aiohttp import WSMsgType, web

from rtc.rate_limit import RateLimit
from rtc.signals import (
    ClientFrame,
    ErrorFrame,
    RelayedCandidate,
    RelayedChat,
    RelayedDescription,
    ServerFrame,
    SignalError,
    parse_client_frame,
    serialize,
)

MAX_WAITING_FRAMES: Final = 256
FRAMES_PER_S: Final = 100.0
FRAME_BURST: Final = 200
SEND_TIMEOUT_S: Final = 10.0
CLOSE_TIMEOUT_S: Final = 2.0

CLOSE_REPLACED: Final = 4001
CLOSE_TOO_SLOW: Final = 4002
CLOSE_JOIN_TIMEOUT: Final = 4003
CLOSE_CODES: Final = {
    "unauthorized": 4401,
    "forbidden": 4403,
    "uid_taken": 4409,
    "room_full": 4429,
    "server_full": 4429,
    "replaced": CLOSE_REPLACED,
}
"""Refusals that end the socket, with its close code."""

logger = logging.getLogger(__name__)


class Outlet(Protocol):
    """Where a member's frames go: a socket, or the pending answer of a one-request call."""

    def deliver(self, frame: ServerFrame) -> None:
        """Queue `frame`; never blocks, never raises."""

    def close(self, code: int) -> None:
        """No more frames; the participant is told `code`. Idempotent."""


class SocketOutlet:
    """Writes frames in order. Over `MAX_WAITING_FRAMES` waiting, the socket is closed as too slow."""

    def __init__(self, ws: web.WebSocketResponse) -> None:
        self._ws = ws
        self._waiting: deque[ServerFrame] = deque()
        self._wake = asyncio.Event()
        self._close_code: int | None = None

    def deliver(self, frame: ServerFrame) -> None:
        """Queue `frame`; closes the socket instead when the participant does not read."""
        if self._close_code is not None:
            return
        self._waiting.append(frame)
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
        """What a participant that resumes must still get; who is in the room it learns anew."""
        kept = (RelayedDescription, RelayedCandidate, RelayedChat)
        return [frame for frame in self._waiting if isinstance(frame, kept)]

    async def run(self) -> None:
        """Write until closed. Ends the socket in every case."""
        try:
            while self._waiting or self._close_code is None:
                await self._write_waiting()
                if self._close_code is None:
                    await self._wake.wait()
                    self._wake.clear()
        except (ConnectionError, TimeoutError) as error:
            logger.debug("signaling socket lost while writing: %r", error)
        finally:
            await self._close_socket()

    async def _write_waiting(self) -> None:
        while self._waiting:
            async with asyncio.timeout(SEND_TIMEOUT_S):
                await self._ws.send_str(serialize(self._waiting[0]))
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
            logger.debug("signaling socket did not close in time: %r", error)


class FrameReader:
    """Parses and limits what a participant sends; faults are answered through `on_error`."""

    def __init__(
        self, ws: web.WebSocketResponse, *, on_error: Callable[[SignalError], None]
    ) -> None:
        self._ws = ws
        self._on_error = on_error
        self._limit = RateLimit(FRAMES_PER_S, FRAME_BURST)
        self._complaints = RateLimit(1.0, 1)

    async def next(self) -> ClientFrame | None:
        """The next sound frame; None when the socket has ended."""
        while True:
            message = await self._ws.receive()
            if message.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
                return None
            try:
                return self._parse(message.type, message.data)
            except SignalError as error:
                self._complain(error)

    def _parse(self, kind: WSMsgType, data: str) -> ClientFrame:
        if not self._limit.allow(time.monotonic()):
            raise SignalError("rate_limited", f"more than {FRAMES_PER_S:.0f} frames a second")
        if kind is not WSMsgType.TEXT:
            raise SignalError("malformed", "frames are JSON text, not binary")
        return parse_client_frame(data)

    def _complain(self, error: SignalError) -> None:
        if error.code != "rate_limited" or self._complaints.allow(time.monotonic()):
            self._on_error(error)


def error_frame(error: SignalError) -> ErrorFrame:
    """What the participant is told about its frame."""
    return ErrorFrame(code=error.code, message=error.message, request=error.request)

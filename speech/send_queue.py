"""Queue of messages to one client: in order, bounded, never blocking the sender."""

from __future__ import annotations

import asyncio
from collections import deque

from aiohttp import web

from speech.settings import Limits


class SlowClientError(Exception):
    """The client does not read what it asked for; its session must end."""


class SendQueue:
    """Events put by anyone, sent by `run`. Full means the client stopped reading: it is let go."""

    def __init__(self, socket: web.WebSocketResponse, limits: Limits) -> None:
        self._socket = socket
        self._limits = limits
        self._waiting: deque[str] = deque()
        self._bytes = 0
        self._filled = asyncio.Event()
        self._drained = asyncio.Event()
        self._drained.set()
        self._overrun = asyncio.Event()

    def put(self, text: str) -> None:
        """Queue one frame; once overrun, everything is dropped, as the session is ending."""
        if len(self._waiting) >= self._limits.outbox_events or (
            self._bytes + len(text) > self._limits.outbox_bytes
        ):
            self._overrun.set()
        if self._overrun.is_set():
            return
        self._waiting.append(text)
        self._bytes += len(text)
        self._filled.set()
        if len(self._waiting) >= self._limits.outbox_events // 2:
            self._drained.clear()

    async def wait_for_room(self) -> None:
        """Producers of much audio wait here until half of the outbox is free."""
        await self._drained.wait()

    async def run(self) -> None:
        """Send until cancelled.

        Raises:
            SlowClientError (in a group): the outbox overflowed, or one frame took too long.
        """
        async with asyncio.TaskGroup() as group:
            group.create_task(self._send(), name="outbox sender")
            await self._overrun.wait()
            raise SlowClientError

    async def _send(self) -> None:
        while True:
            await self._filled.wait()
            self._filled.clear()
            await self.flush()

    async def flush(self) -> None:
        """Send all that waits now. Raises: SlowClientError."""
        while self._waiting:
            text = self._waiting.popleft()
            self._bytes -= len(text)
            try:
                async with asyncio.timeout(self._limits.send_timeout_s):
                    await self._socket.send_str(text)
            except TimeoutError as error:
                raise SlowClientError from error
            if len(self._waiting) < self._limits.outbox_events // 2:
                self._drained.set()

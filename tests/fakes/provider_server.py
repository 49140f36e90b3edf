"""What the fakes of providers have in common: a server on a free port, and its sessions in order."""

from __future__ import annotations

import asyncio
import logging
import ssl
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Generic, Self, TypeVar

from aiohttp import WSCloseCode, web

from tests.deadlines import DEADLINE_S
from tests.fakes.http_server import HttpServer
from utils import OwnedTasks

_log = logging.getLogger("fake")


class ProviderSession(ABC):
    """One client's session, as its server sees it.

    reply_with: what it says by itself; None: nothing until the test acts
    """

    reply_with: Any

    def __init__(self, socket: web.WebSocketResponse) -> None:
        self._socket = socket
        self._tasks = OwnedTasks(_log)
        # Notified of what was received, and sent.
        self._news = asyncio.Condition()
        # Set once the client's socket has ended, from either side.
        self.ended = asyncio.Event()

    @abstractmethod
    async def run(self) -> None:
        """Answer the client until it is gone."""

    async def close(self, code: int = WSCloseCode.OK, reason: str = "") -> None:
        """Say goodbye with a close code."""
        await self._tasks.close()
        await self._socket.close(code=code, message=reason.encode())

    async def send_bytes(self, data: bytes) -> None:
        """Put these bytes on the wire, whatever the protocol says about them."""
        writer = self._socket._writer
        assert writer is not None
        writer.transport.write(data)

    async def drop(self) -> None:
        """Vanish without goodbye, as a broken network does."""
        await self._tasks.close()
        abort(self._socket)


_CONNECTION = web.ResponseKey("connection", asyncio.Transport)

SessionT = TypeVar("SessionT", bound=ProviderSession)


class ProviderServer(Generic[SessionT]):
    """Accepts any number of clients on a port of this machine."""

    def __init__(
        self,
        *,
        port: int = 0,
        reply_with: Callable[[SessionT], Any] | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """reply_with: given to each new session"""
        self.sessions: list[SessionT] = []
        # Set when the first client asks for a socket, whatever becomes of it.
        self.was_asked = asyncio.Event()
        self._reply_with = reply_with
        self._scheme = "ws" if tls is None else "wss"
        self._fresh: asyncio.Queue[SessionT] = asyncio.Queue()
        self._closing = asyncio.Event()
        self._server = HttpServer(port=port, tls=tls)

    @property
    def uri(self) -> str:
        """Where clients connect."""
        return f"{self._scheme}://127.0.0.1:{self._server.port}"

    async def __aenter__(self) -> Self:
        app = web.Application()
        self._add_routes(app)
        await self._server.start(app)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._closing.set()
        for session in self.sessions:
            await session.drop()
        await self._server.stop()

    async def next_session(self) -> SessionT:
        """The next client's session, waiting until one comes."""
        async with asyncio.timeout(DEADLINE_S):
            return await self._fresh.get()

    def _add_routes(self, app: web.Application) -> None:
        raise NotImplementedError

    async def _run(self, session: SessionT) -> None:
        session.reply_with = self._reply_with
        self.sessions.append(session)
        self._fresh.put_nowait(session)
        try:
            await session.run()
        finally:
            session.ended.set()


async def open_socket(request: web.Request) -> web.WebSocketResponse:
    """Accept a client."""
    socket = web.WebSocketResponse(max_msg_size=32 * 1024 * 1024)
    await socket.prepare(request)
    # Of TLS the transport below: before Python 3.11.5 one that was closed twice cannot be aborted.
    protocol = getattr(request.transport, "_ssl_protocol", None)
    connection: Any = request.transport if protocol is None else protocol._transport
    socket[_CONNECTION] = connection
    return socket


def abort(socket: web.WebSocketResponse) -> None:
    """End a connection without a close frame."""
    writer = socket._writer
    connection = socket.get(_CONNECTION, None if writer is None else writer.transport)
    if connection is not None:
        connection.abort()

"""A small HTTP proxy: it tunnels CONNECT, and passes on requests that name a whole address."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from typing import Any, Self

_PIECE_BYTES = 65_536


class FakeProxy:
    """Leads every request to one port of this machine, whatever host it names.

    heads: of the requests that it got, in order
    tunnelled: all bytes that clients sent through it
    """

    def __init__(self, target_port: int, *, password: str | None = None, status: int = 200) -> None:
        """
        password: of the user `me`, wanted in each request
        status: what CONNECT is answered with
        """
        self.heads: list[str] = []
        self.tunnelled = bytearray()
        self._target_port = target_port
        self._password = password
        self._status = status
        self._server: asyncio.Server | None = None
        self._running: set[asyncio.Task[Any]] = set()
        self._writers: list[asyncio.StreamWriter] = []

    @property
    def url(self) -> str:
        """As a variable names it, without user and password."""
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._handle, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._writers:
            writer.close()
        if self._running:
            await asyncio.wait(self._running)
        await self._server.wait_closed()

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._running.add(task)
        self._writers.append(writer)
        try:
            await self._answer(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self._running.discard(task)
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.heads.append(head)
        if not self._is_welcome(head):
            writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            await writer.drain()
            return
        if head.startswith("CONNECT "):
            writer.write(f"HTTP/1.1 {self._status} Fake\r\n\r\n".encode())
            await writer.drain()
        if self._status == 200:
            await self._lead(head, reader, writer)

    async def _lead(
        self, head: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        from_target, to_target = await asyncio.open_connection("127.0.0.1", self._target_port)
        try:
            if not head.startswith("CONNECT "):
                method, address, rest = head.split(" ", 2)
                path = "/" + address.split("/", 3)[3]
                to_target.write(f"{method} {path} {rest}".encode())
            async with asyncio.TaskGroup() as group:
                group.create_task(self._copy(reader, to_target, self.tunnelled))
                group.create_task(self._copy(from_target, writer, bytearray()))
        finally:
            to_target.close()

    async def _copy(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, into: bytearray
    ) -> None:
        with contextlib.suppress(ConnectionError):
            while piece := await reader.read(_PIECE_BYTES):
                into += piece
                writer.write(piece)
                await writer.drain()
        writer.close()

    def _is_welcome(self, head: str) -> bool:
        if self._password is None:
            return True
        shown = base64.b64encode(f"me:{self._password}".encode()).decode()
        return f"proxy-authorization: basic {shown}".lower() in head.lower()

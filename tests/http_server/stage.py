"""A small application behind a `ConnectionSite`, and clients that speak in bytes."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import web

from http_server.connections import Asker, ConnectionLimits
from http_server.site import ConnectionSite
from tests.deadlines import DEADLINE_S

OWN = "127.0.0.1"
"""Counts as a program of this machine; other addresses of loopback stand for strangers."""

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


@dataclass
class Stage:
    """The site, and the gate that keeps `/held` from answering until it is opened."""

    site: ConnectionSite
    port: int
    gate: asyncio.Event

    def connect(self, source: str = OWN, data: bytes = b"") -> socket.socket:
        """A connection from `source`, with `data` sent."""
        client = socket.create_connection((OWN, self.port), DEADLINE_S, (source, 0))
        client.setblocking(False)
        if data:
            client.send(data)
        return client


@asynccontextmanager
async def staged(
    limits: ConnectionLimits | None = None,
    extra: dict[str, Callable] | None = None,
    expect_handler: Callable | None = None,
) -> AsyncIterator[Stage]:
    gate = asyncio.Event()

    async def held(_request: web.Request) -> web.Response:
        await gate.wait()
        return web.Response(text="held")

    async def root(request: web.Request) -> web.Response:
        return web.Response(text="hello")

    app = web.Application()
    app.router.add_get("/", root)
    app.router.add_post("/", root)
    app.router.add_get("/held", held)
    for path, handler in (extra or {}).items():
        app.router.add_route("*", path, handler, expect_handler=expect_handler)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    listener = socket.create_server((OWN, 0), backlog=512)
    site = ConnectionSite(
        runner, listener, limits or ConnectionLimits(), lambda name: Asker(name, name != OWN)
    )
    await site.start()
    try:
        yield Stage(site, listener.getsockname()[1], gate)
    finally:
        gate.set()
        await runner.cleanup()


async def read_all(client: socket.socket) -> bytes:
    """Everything until the other end closes."""
    loop = asyncio.get_running_loop()
    data = b""
    async with asyncio.timeout(DEADLINE_S):
        try:
            while part := await loop.sock_recv(client, 65_536):
                data += part
        except ConnectionResetError:
            pass
    return data


async def read_answer(client: socket.socket) -> bytes:
    """Read the first bytes; the connection may stay open."""
    async with asyncio.timeout(DEADLINE_S):
        return await asyncio.get_running_loop().sock_recv(client, 65_536)


async def until(condition: Callable[[], object]) -> None:
    """Wait for something observable."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            if condition():
                return
            await asyncio.sleep(0.005)

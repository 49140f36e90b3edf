"""An aiohttp application at a port of this machine."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from tests.fakes.ports import lasting_port

_SHUTDOWN_S = 1.0


class HttpServer:
    """Serves one application at a time, always at the same port."""

    def __init__(
        self, host: str = "127.0.0.1", port: int = 0, *, tls: ssl.SSLContext | None = None
    ) -> None:
        self.port = port or lasting_port(host)
        self._host = host
        self._ssl = tls
        self._runner: web.AppRunner | None = None

    async def start(self, app: web.Application) -> None:
        """Serve."""
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=_SHUTDOWN_S)
        await self._runner.setup()
        await web.TCPSite(self._runner, self._host, self.port, ssl_context=self._ssl).start()

    async def stop(self) -> None:
        """Close every socket, as a server does that ends."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None


@asynccontextmanager
async def serving(app: web.Application) -> AsyncIterator[int]:
    """Serve it; gives the port."""
    server = HttpServer()
    await server.start(app)
    try:
        yield server.port
    finally:
        await server.stop()

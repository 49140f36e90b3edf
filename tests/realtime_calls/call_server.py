"""The model server with its calls, inside the test's own process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from realtime_calls.calls import Calls
from realtime_calls.options import CallOptions
from rtc.options import MediaOptions
from speech.engine_pool import Engines
from speech.server import ModelServer
from speech.settings import SpeechSettings
from tests.deadlines import DEADLINE_S
from tests.fakes.http_server import serving

ON_LOOPBACK = MediaOptions(has_loopback=True)


@asynccontextmanager
async def call_server(
    engines: Engines | None, settings: SpeechSettings | None = None, **options: Any
) -> AsyncIterator[tuple[ModelServer, str]]:
    """The server and its URL. options: of `CallOptions`"""
    server = ModelServer(settings or SpeechSettings(timezone="Europe/Zurich"))
    if engines is not None:
        server.use(engines)
    app = server.application()
    Calls(server, CallOptions(**{"media": ON_LOOPBACK, **options})).add_routes(app)
    async with serving(app) as port:
        try:
            yield server, f"http://127.0.0.1:{port}"
        finally:
            await server.close()


async def until_empty(server: ModelServer) -> None:
    """Until every session has ended."""
    async with asyncio.timeout(DEADLINE_S):
        while len(server.sessions):  # noqa: ASYNC110 - the server announces it to nobody
            await asyncio.sleep(0.01)

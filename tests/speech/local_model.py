"""The local model's server inside the test's own process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from speech.server import ModelServer
from speech.settings import SpeechSettings
from speech.workers import Engines
from tests.fakes.http_server import serving


@asynccontextmanager
async def model_server(
    engines: Engines | None, settings: SpeechSettings | None = None
) -> AsyncIterator[tuple[ModelServer, int]]:
    """The server and its port. Without `engines` it still waits for its models."""
    server = ModelServer(settings or SpeechSettings())
    if engines is not None:
        server.use(engines)
    async with serving(server.application()) as port:
        try:
            yield server, port
        finally:
            await server.close()

"""The local model's server inside the test's own process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from speech.engine_pool import Engines
from speech.language_model.protocol import LanguageModel
from speech.server import ModelServer
from speech.settings import SpeechSettings
from tests.fakes.http_server import serving


@asynccontextmanager
async def model_server(
    engines: Engines | None,
    settings: SpeechSettings | None = None,
    *,
    sockets: list[web.WebSocketResponse] | None = None,
    language_model: LanguageModel | None = None,
) -> AsyncIterator[tuple[ModelServer, int]]:
    """The server and its port. Without `engines` it still waits for its models.

    sockets: gets each WebSocket that it opens; language_model: of every session
    """
    create = None if language_model is None else lambda _options: language_model
    server = ModelServer(
        settings or SpeechSettings(), **({"create_model": create} if create else {})
    )
    if engines is not None:
        server.use(engines)
    app = server.application()

    async def note(_request: web.Request, response: web.StreamResponse) -> None:
        if sockets is not None and isinstance(response, web.WebSocketResponse):
            sockets.append(response)

    app.on_response_prepare.append(note)
    async with serving(app) as port:
        try:
            yield server, port
        finally:
            await server.close()

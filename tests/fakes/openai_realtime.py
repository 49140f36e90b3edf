"""A small server of OpenAI's Realtime protocol (GA), scripted by a test, with fault knobs.

In a test: `async with FakeRealtimeServer() as server`, connect a client to `server.uri`, then
`session = await server.next_session()` and let it `say`, `call_tool`, `drop` and so on. As a
program: `python -m tests.fakes.openai_realtime --port 8000` answers each request for a reply.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

from aiohttp import web

from tests.fakes.openai_frames import deep_merge, new_id
from tests.fakes.openai_session import FakeSession, Faults, Stamped, tone
from tests.fakes.openai_vocabulary import BETA, GA, Vocabulary
from tests.fakes.provider_server import ProviderServer, open_socket

__all__ = ["FakeRealtimeServer", "FakeSession", "Faults", "Stamped", "tone", "say_hello"]


class FakeRealtimeServer(ProviderServer[FakeSession]):
    """Accepts any number of clients on a free port of this machine."""

    def __init__(
        self,
        *,
        port: int = 0,
        faults: Faults | None = None,
        reply_with: Callable[[FakeSession], Any] | None = None,
        vocabulary: Vocabulary = GA,
    ) -> None:
        """
        reply_with: given to each new session
        vocabulary: of `/v1/realtime`; other paths speak their own
        """
        super().__init__(port=port, reply_with=reply_with)
        self.faults = faults or Faults()
        self._vocabulary = vocabulary
        self.ephemeral_keys: set[str] = set()
        self.asked_headers: list[dict[str, str]] = []

    def _add_routes(self, app: web.Application) -> None:
        app.router.add_get("/v1/realtime", self._handle_openai)
        app.router.add_get("/openai/v1/realtime", self._handle_azure)
        app.router.add_get("/openai/realtime", self._handle_preview)
        app.router.add_get("/openai/deployments/{deployment}/realtime", self._handle_preview)
        app.router.add_post("/v1/realtime/client_secrets", self._handle_client_secret)

    async def _handle_openai(self, request: web.Request) -> web.StreamResponse:
        return await self._handle_client(request, request.query.get("model"), self._vocabulary)

    async def _handle_azure(self, request: web.Request) -> web.StreamResponse:
        return await self._handle_client(request, request.query.get("model"), GA)

    async def _handle_preview(self, request: web.Request) -> web.StreamResponse:
        if not request.query.get("api-version", "").endswith("-preview"):
            return web.json_response({"error": {"code": "404"}}, status=404)
        path = request.match_info.get("deployment")
        return await self._handle_client(request, request.query.get("deployment", path), BETA)

    async def _handle_client_secret(self, request: web.Request) -> web.StreamResponse:
        if not self._is_welcome(request):
            return web.json_response({"error": {"code": "invalid_api_key"}}, status=401)
        asked = await request.json()
        seconds = (asked.get("expires_after") or {}).get("seconds", 600)
        if not 10 <= seconds <= 7200:
            return web.json_response({"error": {"code": "invalid_value"}}, status=400)
        value = new_id("ek")
        self.ephemeral_keys.add(value)
        session = deep_merge(GA.new_session("gpt-realtime-2.1"), asked.get("session") or {})
        body = {"value": value, "expires_at": 1_900_000_000, "session": session}
        return web.json_response(body)

    def _is_welcome(self, request: web.Request) -> bool:
        key = self.faults.api_key
        shown = request.headers.get("Authorization", "").removeprefix("Bearer ")
        shown = request.headers.get("api-key", shown)
        return key is None or shown == key or shown in self.ephemeral_keys

    async def _handle_client(
        self, request: web.Request, model: str | None, vocabulary: Vocabulary
    ) -> web.StreamResponse:
        self.was_asked.set()
        self.asked_headers.append(dict(request.headers))
        if self.faults.is_mute:
            await self._closing.wait()
        if not self._is_welcome(request):
            return web.json_response({"error": {"code": "invalid_api_key"}}, status=401)
        if self.faults.reject_status is not None:
            return web.Response(status=self.faults.reject_status)
        socket = await open_socket(request)
        session = self._create_session(socket, model or "", vocabulary)
        if "OpenAI-Beta" in request.headers and vocabulary is GA:
            await session.fail("beta_api_shape_disabled")
            await session.close(4000, "invalid_request_error.beta_api_shape_disabled")
            return socket
        await self._run(session)
        return socket

    def _create_session(
        self, socket: web.WebSocketResponse, model: str, vocabulary: Vocabulary
    ) -> FakeSession:
        return FakeSession(socket, model, self.faults, vocabulary)


async def say_hello(session: FakeSession) -> None:
    """The reply of the standalone server."""
    await session.say(tone(1000), "Hello, I am a fake of few words.", pace=1.0)


async def _serve(port: int) -> None:
    async with FakeRealtimeServer(port=port, reply_with=say_hello) as server:
        print(server.uri, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A fake of OpenAI's Realtime server.")
    parser.add_argument("--port", type=int, default=0)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(parser.parse_args().port))

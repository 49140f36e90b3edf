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

from tests.fakes.openai_session import DEADLINE_S, FakeSession, Faults, Stamped, tone

__all__ = ["FakeRealtimeServer", "FakeSession", "Faults", "Stamped", "tone", "say_hello"]


class FakeRealtimeServer:
    """Accepts any number of clients on a free port of this machine."""

    def __init__(
        self,
        *,
        port: int = 0,
        faults: Faults | None = None,
        reply_with: Callable[[FakeSession], Any] | None = None,
    ) -> None:
        """reply_with: given to each new session"""
        self.faults = faults or Faults()
        self.sessions: list[FakeSession] = []
        # Set when the first client asks for a socket, whatever becomes of it.
        self.was_asked = asyncio.Event()
        self._reply_with = reply_with
        self._port = port
        self._fresh: asyncio.Queue[FakeSession] = asyncio.Queue()
        self._closing = asyncio.Event()
        self._runner: web.AppRunner | None = None

    @property
    def uri(self) -> str:
        """Where clients connect."""
        return f"ws://127.0.0.1:{self._port}"

    async def __aenter__(self) -> FakeRealtimeServer:
        app = web.Application()
        app.router.add_get("/v1/realtime", self._handle_client)
        self._runner = web.AppRunner(app, shutdown_timeout=1.0, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port).start()
        self._port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._closing.set()
        for session in self.sessions:
            await session.drop()
        assert self._runner is not None
        await self._runner.cleanup()

    async def next_session(self) -> FakeSession:
        """The next client's session, waiting until one comes."""
        async with asyncio.timeout(DEADLINE_S):
            return await self._fresh.get()

    async def _handle_client(self, request: web.Request) -> web.StreamResponse:
        self.was_asked.set()
        key = self.faults.api_key
        if self.faults.is_mute:
            await self._closing.wait()
        if key is not None and request.headers.get("Authorization") != f"Bearer {key}":
            return web.json_response({"error": {"code": "invalid_api_key"}}, status=401)
        if self.faults.reject_status is not None:
            return web.Response(status=self.faults.reject_status)
        socket = web.WebSocketResponse(max_msg_size=32 * 1024 * 1024)
        await socket.prepare(request)
        session = FakeSession(socket, request.query.get("model", ""), self.faults)
        session.reply_with = self._reply_with
        if "OpenAI-Beta" in request.headers:
            await session.fail("beta_api_shape_disabled")
            await session.close(4000, "invalid_request_error.beta_api_shape_disabled")
            return socket
        self.sessions.append(session)
        self._fresh.put_nowait(session)
        await session.run()
        return socket


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

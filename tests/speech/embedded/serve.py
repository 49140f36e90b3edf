"""`python -m tests.speech.embedded.serve FD`: the embedded server, with llama.cpp's slot to see."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys

import aiohttp
from aiohttp import web

from cli.running import stop_on_signal
from speech.embedded.server import EmbeddedServer
from speech.embedded.settings import EmbeddedSettings

SETTINGS = EmbeddedSettings(slots=1, max_waiting=2, api_key="let-me-in")


async def serve(sock: socket.socket) -> None:
    """As `run_embedded_server`."""
    server = EmbeddedServer(SETTINGS)
    app = server.application()

    async def handle_slot(_request: web.Request) -> web.Response:
        headers = {"Authorization": f"Bearer {server.llama.key}"}
        async with (
            aiohttp.ClientSession(headers=headers) as http,
            http.get(f"{server.llama.uri}/slots") as answer,
        ):
            (slot,) = await answer.json()
        is_running = slot["is_processing"]
        return web.json_response(slot["next_token"][0]["n_decoded"] if is_running else None)

    app.router.add_get("/slot", handle_slot)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.5)
    await runner.setup()
    stopped = asyncio.Event()
    with stop_on_signal(stopped.set), contextlib.suppress(asyncio.CancelledError):
        await server.load()
        await web.SockSite(runner, sock).start()
        await stopped.wait()
    await runner.cleanup()
    await server.close()


if __name__ == "__main__":
    asyncio.run(serve(socket.socket(fileno=int(sys.argv[1]))))

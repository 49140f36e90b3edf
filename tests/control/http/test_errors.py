"""A client that left is no failure of the server; another lost connection is one."""

from __future__ import annotations

import asyncio
import logging

import aiohttp
import pytest
from aiohttp import web

from control.http.errors import answer_errors
from tests.deadlines import DEADLINE_S
from tests.fakes.http_server import serving
from tests.processes.conftest import until

UPGRADE = (
    b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n"
)


@pytest.mark.asyncio
async def test_a_client_that_left_before_it_was_answered_is_no_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    arrived, met = asyncio.Event(), asyncio.get_running_loop().create_future()

    async def handle(request: web.Request) -> web.StreamResponse:
        arrived.set()
        transport = request.transport
        await until(lambda: transport is None or transport.is_closing())
        ws = web.WebSocketResponse()
        try:
            await ws.prepare(request)
        except ConnectionError as error:
            met.set_result(error)
            raise
        return ws

    app = web.Application(middlewares=[answer_errors])
    app.router.add_get("/ws", handle)
    async with serving(app) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(UPGRADE)
        await arrived.wait()
        writer.close()
        async with asyncio.timeout(DEADLINE_S):
            assert isinstance(await met, ConnectionError)
    # The server's own handler of connections (`httpd`) says nothing of it either.
    assert [one for one in caplog.records if one.name == "control.api"] == []


@pytest.mark.asyncio
async def test_another_connection_that_is_lost_is_an_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def handle(request: web.Request) -> web.StreamResponse:
        raise ConnectionResetError("the store is gone")

    app = web.Application(middlewares=[answer_errors])
    app.router.add_get("/", handle)
    async with (
        serving(app) as port,
        aiohttp.ClientSession() as http,
        http.get(f"http://127.0.0.1:{port}/") as answer,
    ):
        assert answer.status == 500
        assert (await answer.json())["code"] == "internal_error"
    told = [one for one in caplog.records if one.name == "control.api"]
    assert [(one.levelno, one.getMessage()) for one in told] == [(logging.ERROR, "GET / failed")]

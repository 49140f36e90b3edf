"""Answers of servers that nobody vouches for: too large, too late, none at all, or from elsewhere."""

from __future__ import annotations

import socket

import aiohttp
import pytest
from aiohttp import web

from tests.fakes.http_server import serving
from tests.fakes.ports import lasting_port
from untrusted import http_answer
from untrusted.http_answer import NoAnswerError, fetch


@pytest.fixture
def app() -> web.Application:
    async def flood(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(100):
            await response.write(bytes(1000))
        return response

    async def echo(request: web.Request) -> web.Response:
        return web.json_response({"method": request.method, "key": request.headers.get("X-Key")})

    async def send_away(_request: web.Request) -> web.Response:
        raise web.HTTPFound("/echo")

    app = web.Application()
    app.router.add_route("*", "/echo", echo)
    app.router.add_get("/flood", flood)
    app.router.add_get("/away", send_away)
    return app


@pytest.mark.asyncio
async def test_a_body_makes_it_a_post_and_a_redirect_is_an_answer(app: web.Application) -> None:
    async with serving(app) as port, aiohttp.ClientSession() as http:
        url = f"http://127.0.0.1:{port}"
        headers = {"X-Key": "k"}
        got = await fetch(http, f"{url}/echo", headers=headers, timeout_s=5)
        posted = await fetch(http, f"{url}/echo", body={}, headers=headers, timeout_s=5)
        assert got == (200, b'{"method": "GET", "key": "k"}')
        assert posted == (200, b'{"method": "POST", "key": "k"}')
        status, _ = await fetch(http, f"{url}/away", headers=headers, timeout_s=5)
        assert status == 302


@pytest.mark.asyncio
async def test_a_flood_ends(app: web.Application, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_answer, "MAX_BYTES", 5000)
    async with serving(app) as port, aiohttp.ClientSession() as http:
        url = f"http://127.0.0.1:{port}"
        with pytest.raises(NoAnswerError, match="answers more than 5000 bytes"):
            await fetch(http, f"{url}/flood", timeout_s=5)


@pytest.mark.asyncio
async def test_silence_ends() -> None:
    async with aiohttp.ClientSession() as http:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            url = f"http://127.0.0.1:{silent.getsockname()[1]}"
            with pytest.raises(NoAnswerError, match=f"no answer of {url} in 0.1 s"):
                await fetch(http, url, timeout_s=0.1)


@pytest.mark.asyncio
async def test_where_nobody_listens_is_named() -> None:
    url = f"http://127.0.0.1:{lasting_port()}"
    async with aiohttp.ClientSession() as http:
        with pytest.raises(NoAnswerError, match=f"no server answers at {url}"):
            await fetch(http, url, timeout_s=5)

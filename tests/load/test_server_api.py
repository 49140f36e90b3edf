"""Requests of a load, against a small server: credentials, refusals, and what is no Parley server."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from pydantic import SecretStr

from load.server_api import ServerApi, ServerApiError, StartRefused

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@contextlib.asynccontextmanager
async def api_of(handler: Handler, **secrets: SecretStr) -> AsyncIterator[ServerApi]:
    """The API of a server that answers everything so."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    async with TestServer(app) as server, aiohttp.ClientSession() as http:
        url = str(server.make_url("/")).rstrip("/")
        yield ServerApi(http, url, secrets.get("key"), secrets.get("metrics"))


@pytest.mark.asyncio
async def test_the_key_is_for_the_api_and_the_token_for_metrics() -> None:
    seen: dict[str, str] = {}

    async def answer(request: web.Request) -> web.Response:
        seen[request.path] = request.headers.get("Authorization", "")
        if request.path == "/metrics":
            return web.Response(text="parley_ready 1\n")
        return web.json_response({"agents": [{"channel_name": "a"}, "no agent"]})

    async with api_of(answer, key=SecretStr("k" * 20), metrics=SecretStr("m" * 20)) as api:
        assert await api.agents() == [{"channel_name": "a"}]
        assert await api.metrics() == {"parley_ready": 1.0}
    assert seen == {"/agents": f"Bearer {'k' * 20}", "/metrics": f"Bearer {'m' * 20}"}


@pytest.mark.asyncio
async def test_a_refusal_names_its_cause_and_a_failure_its_phase() -> None:
    bodies = [
        (429, {"error": "full", "code": "at_capacity", "details": [{"cause": "cpu"}]}),
        (502, {"error": "it failed", "code": "start_failed", "details": [{"phase": "joining"}]}),
        (400, {"error": "no such agent", "code": "unknown_agent"}),
    ]

    async def answer(_request: web.Request) -> web.Response:
        status, body = bodies.pop(0)
        return web.json_response(body, status=status)

    async with api_of(answer) as api:
        found = [await api.start("a", {}) for _ in range(3)]
    assert [(one.reason, one.is_refusal) for one in found if isinstance(one, StartRefused)] == [
        ("at_capacity: cpu", True),
        ("start_failed: joining", False),
        ("unknown_agent", False),
    ]


@pytest.mark.asyncio
async def test_a_redirect_is_not_followed_with_the_key() -> None:
    async def answer(request: web.Request) -> web.Response:
        assert request.path != "/elsewhere"
        raise web.HTTPFound("/elsewhere")

    async with api_of(answer, key=SecretStr("k" * 20)) as api:
        with pytest.raises(ServerApiError, match="is no Parley server"):
            await api.agents()
        assert await api.metrics() == {}


@pytest.mark.asyncio
async def test_a_page_is_no_answer() -> None:
    async def answer(_request: web.Request) -> web.Response:
        return web.Response(text="<html>", content_type="text/html")

    async with api_of(answer) as api:
        with pytest.raises(ServerApiError, match="is no Parley server"):
            await api.start("a", {})
        with pytest.raises(ServerApiError):
            await api.room_token("a")

"""What a scenario asks of a server that does not have its call any more."""

from __future__ import annotations

import pytest
from aiohttp import web

from scenarios.server_api import ServerApi
from tests.fakes.http_server import serving


@pytest.mark.asyncio
async def test_a_call_that_this_server_does_not_have_has_an_empty_record() -> None:
    async def unknown(_request: web.Request) -> web.Response:
        return web.json_response({"error": "no such call", "code": "unknown_call"}, status=404)

    app = web.Application()
    app.router.add_get("/calls/{id}", unknown)
    async with serving(app) as port, ServerApi(f"http://127.0.0.1:{port}", None) as api:
        assert await api.ended_call("agent-1") == {}

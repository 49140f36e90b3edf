from __future__ import annotations

import pytest
from aiohttp import web

from bench.peers.calls import caller_process
from tests.fakes.http_server import HttpServer


@pytest.mark.asyncio
async def test_a_refused_offer_is_reported_and_the_caller_process_stays() -> None:
    offers = []

    async def refuse(request: web.Request) -> web.Response:
        offers.append(await request.json())
        return web.json_response({"error": "full"}, status=503)

    app = web.Application()
    app.router.add_post("/offer", refuse)
    server = HttpServer()
    await server.start(app)
    try:
        async with caller_process() as caller:
            for name in ("one", "two"):
                with pytest.raises(RuntimeError, match=r"503 .*full"):
                    await caller.call(f"http://127.0.0.1:{server.port}/offer", name=name)
            await caller.hang_up()
    finally:
        await server.stop()
    assert [(offer["type"], offer["name"]) for offer in offers] == [
        ("offer", "one"),
        ("offer", "two"),
    ]
    # Audio, with loudness, and one data channel.
    assert "opus/48000/2" in offers[0]["sdp"]
    assert "ssrc-audio-level" in offers[0]["sdp"]
    assert offers[0]["sdp"].count("m=application") == 1

"""Tools, interruptions and failures with self-hosted servers, in the events that these really send."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from realtime import events as ours
from realtime.events import ResponseStatus
from realtime.model import ModelConnectError, ModelSettings, RealtimeModelConfig
from realtime.providers import create_model
from tests.fakes.http_server import serving
from tests.fakes.self_hosted import (
    ARGUMENTS,
    LONG,
    PCM,
    REPORT,
    TOOL,
    LocalAi,
    SelfHosted,
    Send,
    Speaches,
    SpeechToSpeech,
    VllmOmni,
)
from tests.realtime.calls import Call

SERVERS = [LocalAi, SpeechToSpeech, VllmOmni, Speaches]
TOOLS = (
    {"type": "function", "name": TOOL, "description": "Weather", "parameters": {"type": "object"}},
)


class _Socket:
    """The server's side: how to send, once a client is there."""

    def __init__(self) -> None:
        self.opened: asyncio.Future[Send] = asyncio.get_running_loop().create_future()

    async def interrupt(self, server: SelfHosted) -> None:
        await server.interrupt(await self.opened)


@asynccontextmanager
async def calling(server: SelfHosted, **settings: Any) -> AsyncIterator[Call[_Socket]]:
    """A session of our provider with `server`."""
    side = _Socket()

    async def handle(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)

        async def send(kind: str, **fields: Any) -> None:
            await socket.send_str(json.dumps({"type": kind, **fields}))

        await server.open(send)
        side.opened.set_result(send)
        async for frame in socket:
            await server.handle(json.loads(frame.data), send)
        return socket

    app = web.Application()
    app.router.add_get("/v1/realtime", handle)
    async with serving(app) as port:
        model = create_model(server.provider, "pipeline")
        uri = f"ws://127.0.0.1:{port}"
        try:
            given = ModelSettings(tools=TOOLS, **settings)
            await model.connect(RealtimeModelConfig("pipeline", uri, settings=given))
            yield Call(model, side)
        finally:
            await model.close()


@pytest.mark.asyncio
@pytest.mark.parametrize("server_class", SERVERS)
async def test_a_tool_is_called_once_and_its_result_is_told(
    server_class: type[SelfHosted],
) -> None:
    server = server_class()
    async with calling(server) as call:
        await call.model.send(ours.AddText("What is the weather in Bern?"))
        await call.model.send(ours.CreateResponse())
        await call.until(ours.ResponseDone)
        (requested,) = call.all_of(ours.ToolCallRequested)
        assert (requested.name, json.loads(requested.arguments)) == (TOOL, json.loads(ARGUMENTS))
        await call.model.send(ours.AddToolOutput(requested.call_id, '{"report": "rain"}'))
        await call.model.send(ours.CreateResponse())
        done = await call.until(ours.ResponseDone)
        assert done.status is ResponseStatus.COMPLETED
        assert [one.transcript for one in call.all_of(ours.TranscriptDone) if one.transcript] == [
            REPORT
        ]
        assert b"".join(one.pcm for one in call.all_of(ours.AudioDelta)).startswith(PCM)
        assert len(call.all_of(ours.ToolCallRequested)) == 1
        assert len(call.all_of(ours.ResponseCreated)) == len(call.all_of(ours.ResponseDone)) == 2
        assert call.all_of(ours.ProviderError) == []
        outputs = [m["item"] for m in server.received if m["type"] == "conversation.item.create"]
        assert outputs[-1]["call_id"] == requested.call_id


@pytest.mark.asyncio
@pytest.mark.parametrize("server_class", SERVERS)
async def test_a_reply_that_the_user_cuts_ends_once_and_the_next_one_comes(
    server_class: type[SelfHosted],
) -> None:
    server = server_class()
    server.replies = 1
    async with calling(server) as call:
        done = await call.alongside(call.session.interrupt(server), ours.ResponseDone)
        assert done.status is ResponseStatus.CANCELLED
        if not call.all_of(ours.SpeechStarted):
            await call.until(ours.SpeechStarted)
        assert "".join(one.delta for one in call.all_of(ours.TranscriptDelta)).strip() == LONG
        await call.model.send(ours.CreateResponse())
        assert (await call.until(ours.ResponseDone)).status is ResponseStatus.COMPLETED
        assert len(call.all_of(ours.ResponseCreated)) == len(call.all_of(ours.ResponseDone)) == 2
        assert call.all_of(ours.ProviderError) == []


@pytest.mark.asyncio
async def test_a_reply_of_local_ai_that_fails_ends_although_it_says_only_why() -> None:
    server = LocalAi()
    server.replies, server.fails = 1, True
    async with calling(server) as call:
        await call.model.send(ours.CreateResponse())
        done = await call.until(ours.ResponseDone)
        assert done.status is ResponseStatus.FAILED
        (error,) = call.all_of(ours.ProviderError)
        assert (error.code, error.is_fatal) == ("tts_error", False)
        # The next request is not held back by one that never ends.
        server.fails = False
        await call.model.send(ours.CreateResponse())
        assert (await call.until(ours.ResponseDone)).status is ResponseStatus.COMPLETED


@pytest.mark.asyncio
async def test_what_vllm_omni_does_not_have_is_said_at_once() -> None:
    with pytest.raises(ModelConnectError, match="Only server_vad"):
        async with calling(VllmOmni(), turn_detection={"type": "semantic_vad"}):
            raise AssertionError("it connected")

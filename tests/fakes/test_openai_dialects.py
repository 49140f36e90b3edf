"""The fake's other addresses and words are faithful: the official package's clients for them work."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable
from typing import Any

import pytest
from openai import AsyncAzureOpenAI, AsyncOpenAI
from openai.types.beta.realtime import RealtimeServerEvent as BetaServerEvent
from openai.types.realtime import RealtimeServerEvent
from pydantic import TypeAdapter

from tests.deadlines import DEADLINE_S
from tests.fakes.openai_realtime import FakeRealtimeServer, Faults, tone
from tests.fakes.openai_vocabulary import BETA, GA, Vocabulary

BETA_EVENTS: TypeAdapter[Any] = TypeAdapter(BetaServerEvent)
GA_EVENTS: TypeAdapter[Any] = TypeAdapter(RealtimeServerEvent)


def azure_preview(server: FakeRealtimeServer) -> AsyncOpenAI:
    return AsyncAzureOpenAI(
        api_key="k",
        azure_endpoint="http://127.0.0.1",
        websocket_base_url=f"{server.uri}/openai",
        api_version="2025-04-01-preview",
    )


def azure_ga(server: FakeRealtimeServer) -> AsyncOpenAI:
    return AsyncOpenAI(api_key="k", websocket_base_url=f"{server.uri}/openai/v1")


def openai_beta(server: FakeRealtimeServer) -> AsyncOpenAI:
    return AsyncOpenAI(api_key="k", websocket_base_url=f"{server.uri}/v1")


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("make", "vocabulary"), [(azure_preview, GA), (openai_beta, BETA)], ids=["azure", "beta"]
)
async def test_official_beta_client_holds_a_conversation(
    make: Callable[[FakeRealtimeServer], AsyncOpenAI], vocabulary: Vocabulary
) -> None:
    pcm = tone(250)
    async with FakeRealtimeServer(faults=Faults(api_key="k"), vocabulary=vocabulary) as server:
        async with (
            make(server) as client,
            client.beta.realtime.connect(model="gpt-realtime") as connection,
        ):
            session = await server.next_session()
            session.reply_with = lambda each: each.say(pcm, "Good day.")
            await connection.session.update(session={"instructions": "Be kind.", "voice": "sage"})
            await connection.conversation.item.create(
                item={
                    "type": "message",
                    "role": "user",
                    "content": [{"type": "input_text", "text": "hello"}],
                }
            )
            await connection.response.create()
            heard = bytearray()
            seen = []
            async with asyncio.timeout(DEADLINE_S):
                async for event in connection:
                    seen.append(event.type)
                    if event.type == "response.audio.delta":
                        heard += base64.b64decode(event.delta)
                    if event.type == "response.done":
                        break
            await session.call_tool("add", {"a": 1})
        assert bytes(heard) == pcm
        assert session.settings["voice"] == "sage"
        assert seen[:4] == [
            "session.created",
            "session.updated",
            "conversation.item.created",
            "response.created",
        ]
        for sent in session.sent:
            BETA_EVENTS.validate_python(sent.frame, strict=True)


@pytest.mark.asyncio
async def test_official_client_speaks_ga_at_azure() -> None:
    async with FakeRealtimeServer(faults=Faults(api_key="k")) as server:
        async with azure_ga(server) as client, client.realtime.connect(model="voice") as connection:
            session = await server.next_session()
            await session.say(tone(40), "hi")
            async with asyncio.timeout(DEADLINE_S):
                async for event in connection:
                    if event.type == "response.done":
                        break
        assert session.settings["model"] == "voice"
        for sent in session.sent:
            GA_EVENTS.validate_python(sent.frame, strict=True)


@pytest.mark.asyncio
async def test_official_client_gets_an_ephemeral_key_and_uses_it() -> None:
    async with FakeRealtimeServer(faults=Faults(api_key="real")) as server:
        uri = server.uri.replace("ws:", "http:") + "/v1"
        async with AsyncOpenAI(api_key="real", base_url=uri) as client:
            secret = await client.realtime.client_secrets.create(
                expires_after={"anchor": "created_at", "seconds": 60},
                session={"type": "realtime", "model": "gpt-realtime-2.1"},
            )
        async with (
            AsyncOpenAI(api_key=secret.value, base_url=uri) as client,
            client.realtime.connect(model="m") as connection,
        ):
            assert (await connection.recv()).type == "session.created"


@pytest.mark.asyncio
async def test_beta_client_is_sent_away_by_ga() -> None:
    async with (
        FakeRealtimeServer() as server,
        openai_beta(server) as client,
        client.beta.realtime.connect(model="gpt-realtime") as beta,
    ):
        event = await beta.recv()
        assert event.type == "error"
        assert event.error.code == "beta_api_shape_disabled"

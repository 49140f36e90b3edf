"""A conversation outlives the session of a model that can neither be resumed nor told items."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from realtime import events as ours
from realtime.events import ConnectionStatus
from realtime.model import RealtimeModelConfig
from realtime.providers import create_model
from realtime.resilience.model import ResilientModel
from tests.fakes.gemini_live import FakeGeminiServer, GeminiFaults, GeminiSession
from tests.fakes.openai_session import tone
from tests.realtime.resilience.stage import FAST, Talk, collecting

MODEL = "gemini-3.1-flash-live-preview"
NAME = "my name is Ada"
GREETING = "Hello Ada."
SILENCE = b"\0\0" * 320


@asynccontextmanager
async def talking(server: FakeGeminiServer) -> AsyncIterator[Talk]:
    resilient = ResilientModel(lambda: create_model("gemini", MODEL), options=FAST)
    await resilient.connect(RealtimeModelConfig(MODEL, server.uri, api_key="k"))
    async with collecting(resilient) as talk:
        yield talk


async def introduce(talk: Talk, session: GeminiSession) -> None:
    """One whole turn."""
    await talk.speak([SILENCE] * 50)
    await session.hear(NAME)
    await session.say(tone(200), GREETING)
    await talk.until(ours.ResponseDone)


@pytest.mark.asyncio
async def test_model_that_takes_no_history_is_told_in_its_instructions() -> None:
    faults = GeminiFaults(has_updates=False)
    async with FakeGeminiServer(faults=faults) as server, talking(server) as talk:
        first = await server.next_session()
        await introduce(talk, first)
        await first.drop()
        second = await server.next_session()
        await talk.until_status(ConnectionStatus.OPEN, 2)
        told = second.setup["systemInstruction"]["parts"][0]["text"]
        assert NAME in told
        assert GREETING in told

"""A conversation with Gemini that outlives its sessions: by handle, and by telling it again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from realtime import events as ours
from realtime.events import ConnectionStatus
from realtime.model import RealtimeModelConfig
from realtime.providers import create_model
from realtime.resilient import ResilientModel
from tests.fakes.gemini_live import FakeGeminiServer, GeminiFaults, GeminiSession
from tests.fakes.openai_session import tone
from tests.realtime.lasting import FAST, Talk, collecting, heard

MODEL = "gemini-3.8-live"
NAME = "my name is Ada"
GREETING = "Hello Ada."
SILENCE = b"\0\0" * 320


@asynccontextmanager
async def talking(server: FakeGeminiServer, model: str = MODEL) -> AsyncIterator[Talk]:
    resilient = ResilientModel(
        lambda: create_model("gemini", model), heard_text=heard, options=FAST
    )
    await resilient.connect(RealtimeModelConfig(model, server.uri, api_key="k"))
    async with collecting(resilient) as talk:
        yield talk


async def introduce(talk: Talk, session: GeminiSession) -> None:
    """One whole turn, after which the session can be resumed."""
    await talk.speak([SILENCE] * 50)
    await session.hear(NAME)
    await session.say(tone(200), GREETING)
    await talk.until(ours.ResponseDone)
    if session.handle is not None:
        await talk.until(ours.ResumptionUpdated)


@pytest.mark.asyncio
async def test_session_that_goes_away_is_resumed_in_time() -> None:
    async with FakeGeminiServer() as server, talking(server) as talk:
        first = await server.next_session()
        await introduce(talk, first)
        await first.go_away("1s")
        second = await server.next_session()
        await second.wait_for("setup")
        assert second.setup["sessionResumption"] == {"handle": first.handle}
        assert second.history == [("user", NAME), ("model", GREETING)]
        await talk.speak([SILENCE] * 100)
        await second.wait_heard(len(SILENCE))
        await second.say(tone(200), "Still here.")
        assert (await talk.until(ours.ResponseDone, 2)).status is ours.ResponseStatus.COMPLETED
        assert not talk.all_of(ours.SessionEnded)
        assert [each for each in second.all_of("clientContent") if "turns" in each] == []


@pytest.mark.asyncio
@pytest.mark.parametrize("is_forgotten", [False, True])
async def test_dropped_session_is_resumed_or_told_again(is_forgotten: bool) -> None:
    async with FakeGeminiServer() as server, talking(server) as talk:
        first = await server.next_session()
        await introduce(talk, first)
        if is_forgotten:
            server._memory.by_handle.clear()
        await first.drop()
        second = await server.next_session()
        if is_forgotten:
            second = await server.next_session()
            await second.wait_for("setup")
            assert second.setup["sessionResumption"] == {}
        await talk.until_status(ConnectionStatus.OPEN, 2)
        await talk.speak([SILENCE])
        await second.wait_heard(len(SILENCE))
        assert ("user", NAME) in second.history
        assert ("model", GREETING) in second.history


@pytest.mark.asyncio
async def test_model_that_takes_no_history_is_told_in_its_instructions() -> None:
    faults = GeminiFaults(has_updates=False)
    name = "gemini-3.1-flash-live-preview"
    async with FakeGeminiServer(faults=faults) as server, talking(server, name) as talk:
        first = await server.next_session()
        await introduce(talk, first)
        await first.drop()
        second = await server.next_session()
        await talk.until_status(ConnectionStatus.OPEN, 2)
        told = second.setup["systemInstruction"]["parts"][0]["text"]
        assert NAME in told
        assert GREETING in told

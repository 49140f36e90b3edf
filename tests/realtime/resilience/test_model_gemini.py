"""A conversation with Gemini Live goes on: handles, goodbyes, a handle that was forgotten."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from realtime import events as ours
from realtime.gemini.model import GeminiLiveModel
from realtime.model import ModelSettings, RealtimeModelConfig
from realtime.resilience.model import ResilientModel
from tests.fakes.gemini_live import FakeGeminiServer, GeminiSession
from tests.fakes.openai_session import tone
from tests.realtime.resilience.stage import FAST, Talk, collecting

MODEL = "gemini-3.8-live"


@asynccontextmanager
async def talking(server: FakeGeminiServer) -> AsyncIterator[tuple[Talk, GeminiSession]]:
    config = RealtimeModelConfig(
        MODEL, server.uri, "k", settings=ModelSettings(instructions="Be kind."), timeout_s=2.0
    )
    model = ResilientModel(lambda: GeminiLiveModel(MODEL), options=FAST)
    await model.connect(config)
    async with collecting(model) as talk:
        yield talk, await server.next_session()


async def a_short_conversation(talk: Talk, session: GeminiSession) -> None:
    await session.hear("remember seven")
    await session.say(tone(40), "I will")
    await talk.until(ours.ResponseDone)
    await talk.until(ours.ResumptionUpdated)


@pytest.mark.asyncio
async def test_a_goodbye_is_followed_by_its_handle() -> None:
    async with FakeGeminiServer() as server, talking(server) as (talk, first):
        await a_short_conversation(talk, first)
        await first.go_away("20s")
        second = await server.next_session()
        setup = await second.wait_for("setup")
        assert setup["sessionResumption"]["handle"] == first.handle
        await second.say(tone(40), "seven it is")
        await talk.until(ours.ResponseDone, 2)
        assert len(talk.all_of(ours.ConnectionChanged)) == 1, "nobody need know"


@pytest.mark.asyncio
async def test_a_drop_within_a_reply_ends_it_and_the_handle_goes_on() -> None:
    async with FakeGeminiServer() as server, talking(server) as (talk, first):
        await a_short_conversation(talk, first)
        handle = first.handle
        await first.drop()
        second = await server.next_session()
        setup = await second.wait_for("setup")
        assert setup["sessionResumption"]["handle"] == handle
        await talk.until_status(ours.ConnectionStatus.OPEN, 2)
        await second.say(tone(40), "seven")
        done = await talk.until(ours.ResponseDone, 2)
        assert done.status is ours.ResponseStatus.COMPLETED


@pytest.mark.asyncio
async def test_a_handle_that_was_forgotten_means_telling_everything() -> None:
    async with FakeGeminiServer() as server, talking(server) as (talk, first):
        await a_short_conversation(talk, first)
        server._memory.by_handle.clear()
        await first.drop()
        stale = await server.next_session()
        assert "handle" in (await stale.wait_for("setup"))["sessionResumption"]
        second = await server.next_session()
        assert "handle" not in (await second.wait_for("setup")).get("sessionResumption", {})
        await talk.until_status(ours.ConnectionStatus.OPEN, 2)
        await second.wait_for("clientContent", count=2)
        turns = [turn for each in second.all_of("clientContent") for turn in each["turns"]]
        words = [part["text"] for turn in turns for part in turn["parts"]]
        assert words == ["remember seven", "I will"]
        assert not talk.all_of(ours.SessionEnded)

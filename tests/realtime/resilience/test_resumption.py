"""Handles, goodbyes, and providers that cannot be told a conversation item by item."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

import realtime.resilience.provider_session
from realtime import events as ours
from realtime.model import Capabilities, ModelSettings, RealtimeModelConfig
from realtime.resilience.model import ResilientModel
from tests.deadlines import DEADLINE_S
from tests.realtime.resilience.stage import FAST, Talk, collecting, numbered
from tests.realtime.scripted_model import Provider, ScriptedModel

RESUMING = Capabilities(24_000, 24_000, has_resumption=True, has_history_replay=True)
FORGETFUL = Capabilities(24_000, 24_000)
CONFIG = RealtimeModelConfig(
    "m", "ws://127.0.0.1:9", settings=ModelSettings(instructions="Be kind.")
)


@asynccontextmanager
async def talking(provider: Provider) -> AsyncIterator[tuple[Talk, ScriptedModel]]:
    model = ResilientModel(provider.create, options=FAST)
    await model.connect(CONFIG)
    async with collecting(model) as talk:
        yield talk, await opened(provider)


async def opened(provider: Provider) -> ScriptedModel:
    async with asyncio.timeout(DEADLINE_S):
        return await provider.opened.get()


async def until(model: ScriptedModel, is_there: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not is_there():
            model.news.clear()
            await model.news.wait()


async def a_short_conversation(talk: Talk, first: ScriptedModel) -> None:
    first.say(
        ours.InputTranscriptDone("u1", "remember seven"),
        ours.ResponseCreated("r1"),
        ours.TranscriptDelta("r1", "a1", 0, "I will"),
        ours.ResponseDone("r1", ours.ResponseStatus.COMPLETED),
    )
    await talk.until(ours.ResponseDone)


@pytest.mark.asyncio
async def test_a_handle_goes_on_and_only_what_came_later_is_told() -> None:
    provider = Provider(RESUMING)
    async with talking(provider) as (talk, first):
        await a_short_conversation(talk, first)
        first.say(ours.ResumptionUpdated("h1"))
        await talk.until(ours.ResumptionUpdated)
        await talk.model.send(ours.AddText("and eight"))
        first.say(ours.SessionEnded("lost"))
        second = await opened(provider)
        await until(second, lambda: bool(second.sent))
        assert provider.asked == [None, "h1"]
        assert [each.text for each in second.sent if isinstance(each, ours.AddText)] == [
            "and eight"
        ]


@pytest.mark.asyncio
async def test_a_stale_handle_falls_back_to_telling_everything() -> None:
    provider = Provider(RESUMING)
    async with talking(provider) as (talk, first):
        await a_short_conversation(talk, first)
        first.say(ours.ResumptionUpdated("h1"))
        await talk.until(ours.ResumptionUpdated)
        provider.stale_handles.add("h1")
        first.say(ours.SessionEnded("lost"))
        second = await opened(provider)
        await until(second, lambda: len(second.sent) == 2)
        assert provider.asked == [None, "h1", None]
        assert [each.text for each in second.sent if isinstance(each, ours.AddText)] == [
            "remember seven",
            "I will",
        ]


@pytest.mark.asyncio
async def test_a_point_that_cannot_be_resumed_is_not() -> None:
    provider = Provider(RESUMING)
    async with talking(provider) as (talk, first):
        first.say(ours.ResumptionUpdated("h1"), ours.ResumptionUpdated(None))
        await talk.until(ours.ResumptionUpdated, 2)
        first.say(ours.SessionEnded("lost"))
        await opened(provider)
        assert provider.asked == [None, None]


@pytest.mark.asyncio
async def test_a_goodbye_is_followed_at_a_boundary_without_a_word_lost() -> None:
    provider = Provider(RESUMING)
    async with talking(provider) as (talk, first):
        first.say(ours.ResumptionUpdated("h1"), ours.GoAwayReceived(60_000))
        second = await opened(provider)
        await talk.speak(numbered(1, 20))
        await until(second, lambda: len(second.sent) == 20)
        audio = [
            each.pcm for each in first.sent + second.sent if isinstance(each, ours.AppendAudio)
        ]
        assert audio == numbered(1, 20)
        assert provider.asked == [None, "h1"]
        assert len(talk.all_of(ours.ConnectionChanged)) == 1, "nobody need know"
        assert talk.model.statistics.rotations == 1


@pytest.mark.asyncio
async def test_a_model_that_cannot_be_told_finds_it_in_its_instructions() -> None:
    provider = Provider(FORGETFUL)
    async with talking(provider) as (talk, first):
        await a_short_conversation(talk, first)
        first.say(ours.SessionEnded("lost"))
        second = await opened(provider)
        assert second.config is not None
        instructions = second.config.settings.instructions or ""
        assert instructions.startswith("Be kind.\n")
        assert instructions.endswith("User: remember seven\nYou: I will")
        await talk.until_status(ours.ConnectionStatus.OPEN, 2)
        assert second.sent == []


@pytest.mark.asyncio
async def test_what_a_model_refuses_to_be_told_is_told_as_a_note() -> None:
    provider = Provider(RESUMING)
    async with talking(provider) as (talk, first):
        first.say(ours.ToolCallRequested("r1", "i1", "c1", "clock", "{}"))
        await talk.until(ours.ToolCallRequested)
        await talk.model.send(ours.AddToolOutput("c1", "noon"))
        provider.refused = (ours.AddToolCall,)
        first.say(ours.SessionEnded("lost"))
        second = await opened(provider)
        await until(second, lambda: bool(second.sent))
        assert second.sent == [ours.AddText("Tool clock({}) answered: noon", "system")]


@pytest.mark.asyncio
async def test_a_provider_that_takes_nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(realtime.resilience.provider_session, "SEND_TIMEOUT_S", 0.05)
    provider = Provider(RESUMING)
    async with talking(provider) as (talk, first):
        first.is_stuck = True
        await talk.speak(numbered(1, 5))
        second = await opened(provider)
        await until(second, lambda: bool(second.sent))
        audio = b"".join(each.pcm for each in second.sent if isinstance(each, ours.AppendAudio))
        assert audio == b"".join(numbered(1, 5))
        assert talk.model.statistics.dropped_samples == 0


@pytest.mark.asyncio
async def test_a_reply_that_failed_is_asked_for_again_at_most_twice() -> None:
    provider = Provider(RESUMING)
    async with talking(provider) as (talk, first):
        await talk.model.send(ours.CreateResponse())
        for number in range(1, 4):
            await until(first, lambda count=number: len(first.sent) == count)  # type: ignore[misc]
            failed = ours.ResponseDone(f"r{number}", ours.ResponseStatus.FAILED, "server_error")
            first.say(ours.ResponseCreated(f"r{number}"), failed)
            await talk.until(ours.ResponseDone, number)
        await talk.model.send(ours.AddText("still there?"))
        assert [type(each) for each in first.sent] == [ours.CreateResponse] * 3 + [ours.AddText]
        assert first.provider.asked == [None], "the session is well"

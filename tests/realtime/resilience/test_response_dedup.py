"""What a fallback provider answers by itself, and what it must be asked for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from realtime import events as ours
from realtime.capabilities import capabilities_of
from realtime.dashscope.model import DashScopeRealtimeModel
from realtime.events import ConnectionStatus
from realtime.model import ModelSettings, RealtimeModelConfig
from realtime.openai.model import OpenAIRealtimeModel
from realtime.resilience.model import ResilientModel
from realtime.resilience.provider_session import ModelSource
from realtime.resilience.response_dedup import ResponseDedup
from tests.fakes.dashscope_realtime import FakeDashScopeServer
from tests.fakes.openai_realtime import FakeRealtimeServer, tone
from tests.realtime.resilience.stage import FAST, Talk, collecting

OPENAI = capabilities_of("openai", "gpt-realtime-2.1")
QWEN_MODEL = "qwen3.5-omni-flash-realtime"
QWEN = capabilities_of("dashscope", QWEN_MODEL)
GEMINI = capabilities_of("gemini", "gemini-3.8-live")
COMMITTED = ours.InputCommitted("i1")


def answers(*steps: Callable[[ResponseDedup], Any], inside: Any = QWEN) -> ResponseDedup:
    made = ResponseDedup(OPENAI, inside)
    for step in steps:
        step(made)
    return made


def test_a_spoken_turn_is_not_asked_for_twice() -> None:
    made = answers(lambda it: it.handle(COMMITTED))
    assert made.takes_request(is_manual=False)
    assert not made.takes_request(is_manual=False), "this one is somebody's own wish"


def test_a_turn_by_hand_is_asked_for() -> None:
    assert not answers(lambda it: it.handle(COMMITTED)).takes_request(is_manual=True)


def test_what_was_written_is_asked_for_and_the_spoken_turn_before_it_still_is_not() -> None:
    made = answers(lambda it: it.handle(COMMITTED), ResponseDedup.handle_text)
    assert not made.takes_request(is_manual=False)
    assert made.takes_request(is_manual=False)


def test_a_provider_like_the_preferred_one_is_always_asked() -> None:
    made = answers(lambda it: it.handle(COMMITTED), inside=OPENAI)
    assert not made.takes_request(is_manual=False)
    made.handle_tool_output()
    assert not made.takes_request(is_manual=False)
    assert not made.must_request_after_tools


def test_after_a_tool_each_provider_is_treated_as_it_needs() -> None:
    assert not answers(ResponseDedup.handle_tool_output).takes_request(is_manual=False)
    assert answers(ResponseDedup.handle_tool_output, inside=GEMINI).takes_request(is_manual=False)
    assert ResponseDedup(GEMINI, OPENAI).must_request_after_tools
    assert not ResponseDedup(OPENAI, GEMINI).must_request_after_tools


# -- over real sockets -----------------------------------------------------------------------------


@asynccontextmanager
async def taken_over(
    create: Callable[[], Any], preferred: FakeRealtimeServer, source: ModelSource, **settings: Any
) -> AsyncIterator[Talk]:
    """A conversation whose preferred provider has just been lost for good."""
    model = ResilientModel(create, fallback=source, options=FAST)
    config = RealtimeModelConfig(
        "m", preferred.uri, "k", settings=ModelSettings(**settings), timeout_s=2.0
    )
    await model.connect(config)
    async with collecting(model) as talk:
        first = await preferred.next_session()
        preferred.faults.reject_status = 429
        await first.drop()
        await talk.until_status(ConnectionStatus.OPEN, 2)
        yield talk


@pytest.mark.asyncio
async def test_a_fallback_that_always_answers_answers_once() -> None:
    async with FakeRealtimeServer() as preferred, FakeDashScopeServer() as other:
        source = ModelSource(
            "other",
            lambda: DashScopeRealtimeModel(QWEN_MODEL),
            RealtimeModelConfig(QWEN_MODEL, other.uri, "k", timeout_s=2.0),
        )
        ours_to_ask = {"type": "server_vad", "create_response": False, "interrupt_response": False}
        async with taken_over(
            OpenAIRealtimeModel, preferred, source, turn_detection=ours_to_ask
        ) as talk:
            session = await other.next_session()

            async def answer(_session: Any) -> None:
                await session.say(tone(40), "once")

            session.reply_with = answer
            await session.speech_stopped(await session.speech_started(), "How late is it?")
            await talk.until(ours.InputTranscriptDone)
            await talk.model.send(ours.CreateResponse())
            await talk.until(ours.ResponseDone)
            # What was not for a spoken turn is asked for as ever, and nothing went before it.
            await talk.model.send(ours.CreateResponse("Say exactly: bye"))
            request = await session.wait_for("response.create")
            assert "bye" in request["response"]["instructions"]
            assert len(session.all_of("response.create")) == 1


@pytest.mark.asyncio
async def test_a_fallback_that_waits_to_be_asked_after_a_tool_is_asked() -> None:
    async with FakeRealtimeServer() as preferred, FakeRealtimeServer() as other:
        source = ModelSource(
            "other", OpenAIRealtimeModel, RealtimeModelConfig("m", other.uri, "k", timeout_s=2.0)
        )
        goes_on_by_itself = replace(OPENAI, needs_response_after_tool=False)
        async with taken_over(
            lambda: OpenAIRealtimeModel(goes_on_by_itself), preferred, source
        ) as talk:
            session = await other.next_session()
            call_id = await session.call_tool("look_up", {})
            await talk.until(ours.ToolCallRequested)
            await talk.model.send(ours.AddToolOutput(call_id, "42"))
            async with asyncio.timeout(5):
                await session.wait_for("response.create")

"""A conversation goes on whatever happens to its sessions: every fault over real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
import pytest_asyncio

from realtime import events as ours
from realtime import provider_socket
from realtime.events import ConnectionStatus
from realtime.model import ModelConnectError, ModelDisconnectedError, RealtimeModel
from realtime.openai.model import OpenAIRealtimeModel
from realtime.resilience.model import ResilientModel
from realtime.resilience.provider_session import ModelSource
from tests.fakes.freezing_relay import FreezingRelay
from tests.fakes.openai_realtime import FakeRealtimeServer, FakeSession, Faults, tone
from tests.realtime.resilience.stage import (
    FAST,
    Talk,
    collecting,
    config,
    frame_numbers,
    got_frames,
    numbered,
    talking,
    told,
)


@pytest_asyncio.fixture
async def server() -> AsyncIterator[FakeRealtimeServer]:
    async with FakeRealtimeServer() as running:
        yield running


@pytest.mark.asyncio
async def test_a_session_without_trouble_is_passed_through(server: FakeRealtimeServer) -> None:
    async with talking(server) as (talk, session):
        await talk.speak(numbered(0, 5))
        assert await got_frames(session, 4) == [0, 1, 2, 3, 4]
        await talk.model.send(ours.AddText("hello", item_id="item_mine"))
        await talk.model.send(ours.CreateResponse())
        await session.wait_for("response.create")
        await session.say(tone(100), "good day")
        await talk.until(ours.ResponseDone)
        kinds = [type(event) for event in talk.seen]
        assert kinds[:2] == [ours.ConnectionChanged, ours.SessionOpened]
        assert len(talk.all_of(ours.ConnectionChanged)) == 1
        assert len(server.sessions) == 1


@pytest.mark.asyncio
async def test_a_drop_in_the_middle_of_the_users_words_loses_none_of_them(
    server: FakeRealtimeServer,
) -> None:
    async with talking(server) as (talk, first):
        await talk.speak(numbered(0, 100))
        await got_frames(first, 99)
        item_id = await first.speech_started(audio_start_ms=1500)
        await talk.until(ours.SpeechStarted)
        await talk.speak(numbered(100, 50))
        await first.drop()
        await talk.until_status(ConnectionStatus.RECONNECTING)
        await talk.speak(numbered(150, 50))
        second = await server.next_session()
        frames = await got_frames(second, 199)
        assert frames[0] <= 75, "told again from the beginning of the turn"
        assert frames == list(range(frames[0], 200)), "in order, none left out"
        assert frame_numbers(bytes(first.audio))[:100] == list(range(100))
        stopped = await talk.until(ours.SpeechStopped)
        assert stopped.item_id == item_id
        await talk.until_status(ConnectionStatus.OPEN, 2)
        assert not talk.all_of(ours.SessionEnded)
        assert talk.model.statistics.dropped_samples == 0


@pytest.mark.asyncio
async def test_a_drop_in_the_middle_of_a_reply_lets_it_go_on(server: FakeRealtimeServer) -> None:
    async with talking(server) as (talk, first):
        spoken = await first.speech_started()
        await first.speech_stopped(spoken, "tell me a story")
        await talk.until(ours.InputTranscriptDone)
        saying = asyncio.get_running_loop().create_task(
            first.say(tone(1000), "once upon a time there was a king", pace=1.0)
        )
        await talk.until(ours.AudioDelta, 4)
        await first.drop()
        done = await talk.until(ours.ResponseDone)
        assert (done.status, done.reason) == (ours.ResponseStatus.FAILED, "connection_lost")
        assert talk.all_of(ours.AudioDone), "what came of the voice is ended, so it plays out"
        second = await server.next_session()
        request = await second.wait_for("response.create")
        assert "response" not in request
        lines = told(second)
        assert lines[0] == "user: tell me a story"
        assert lines[1].startswith("assistant: once upon a time")
        assert lines[1].endswith(" …")
        assert lines[2].startswith("system: The connection broke")
        assert len(lines) == 3
        await asyncio.wait([saying])


# -- planned rotation --------------------------------------------------------------------------


def short_lived(cap_s: float) -> Callable[[], OpenAIRealtimeModel]:
    """Models whose sessions end after so long."""
    capabilities = replace(OpenAIRealtimeModel().capabilities, session_cap_s=cap_s)
    return lambda: OpenAIRealtimeModel(capabilities)


@pytest.mark.asyncio
async def test_rotation_sends_each_sample_to_one_session_and_forgets_nothing(
    server: FakeRealtimeServer,
) -> None:
    async with talking(server, create=short_lived(3.0)) as (talk, first):
        item_id = await first.speech_started()
        await first.speech_stopped(item_id, "what time is it")
        call_id = await first.call_tool("clock", {})
        await talk.until(ours.ResponseDone)
        await talk.model.send(ours.AddToolOutput(call_id, "noon"))
        await talk.model.send(ours.CreateResponse())
        await first.wait_for("response.create")
        await first.say(tone(100), "it is noon")
        await talk.until(ours.ResponseDone, 2)
        sent = 0
        while talk.model.statistics.rotations == 0:
            await talk.speak(numbered(sent, 1))
            sent += 1
            await asyncio.sleep(0.01)
        await talk.speak(numbered(sent, 20))
        second = await server.next_session()
        frames = await got_frames(second, sent + 19)
        assert frame_numbers(bytes(first.audio)) + frames == list(range(sent + 20))
        assert told(second) == [
            "user: what time is it",
            "call clock({})",
            "output noon",
            "assistant: it is noon",
        ]
        assert len(talk.all_of(ours.ConnectionChanged)) == 1, "nobody need know"
        assert not second.all_of("response.create")


@pytest.mark.asyncio
async def test_rotation_waits_for_a_turn_boundary(server: FakeRealtimeServer) -> None:
    async with talking(server, create=short_lived(6.0)) as (talk, first):
        item_id = await first.speech_started()
        await talk.until(ours.SpeechStarted)
        successor = await server.next_session()
        await successor.wait_for("session.update")
        await talk.speak(numbered(0, 10))
        assert await got_frames(first, 9) == list(range(10)), "it stands by, and gets nothing"
        await first.speech_stopped(item_id, "that was long")
        saying = asyncio.get_running_loop().create_task(first.say(tone(150), "yes", pace=1.0))
        await talk.until(ours.ResponseCreated)
        assert talk.model.statistics.rotations == 0
        await saying
        await successor.wait_for("conversation.item.create", 2)
        assert told(successor) == ["user: that was long", "assistant: yes"]
        assert talk.all_of(ours.ResponseDone)[0].status is ours.ResponseStatus.COMPLETED


@pytest.mark.asyncio
async def test_at_the_last_moment_a_session_is_replaced_within_a_turn(
    server: FakeRealtimeServer,
) -> None:
    async with talking(server, create=short_lived(2.5)) as (talk, first):
        await talk.speak(numbered(0, 10))
        await got_frames(first, 9)
        await first.speech_started(audio_start_ms=100)
        await talk.until(ours.SpeechStarted)
        second = await server.next_session()
        assert await got_frames(second, 9) == list(range(5, 10)), "the turn, from its beginning"


@pytest.mark.asyncio
async def test_a_reply_cut_after_a_rotation_is_told_anew(server: FakeRealtimeServer) -> None:
    async with talking(server, create=short_lived(2.5)) as (talk, first):
        await first.say(tone(1000), "one two three four five six seven eight nine ten")
        done = await talk.until(ours.AudioDone)
        second = await server.next_session()
        await second.wait_for("conversation.item.create")
        await talk.model.send(ours.TruncateItem(done.item_id, 0, 400, "one two three four"))
        await second.wait_for("conversation.item.create", 2)
        assert told(second)[1] == "assistant: one two three four …"
        assert len(second.all_of("conversation.item.delete")) == 1
        assert not second.all_of("conversation.item.truncate"), "an id it never had"


# -- every way to fail -------------------------------------------------------------------------


async def drop(session: FakeSession) -> None:
    await session.drop()


async def say_goodbye(session: FakeSession) -> None:
    await session.close(1001, "going away")


async def break_internally(session: FakeSession) -> None:
    await session.close(1011, "internal error")


async def expire(session: FakeSession) -> None:
    await session.fail("session_expired", "Your session hit the maximum duration of 60 minutes.")
    await session.close(1001, "session hit the maximum duration")


async def babble(session: FakeSession) -> None:
    for _ in range(30):
        await session.send_raw('{"type": "response.output_audio.delta"')


@pytest.mark.parametrize("fault", [drop, say_goodbye, break_internally, expire, babble])
@pytest.mark.asyncio
async def test_no_end_of_a_session_ends_the_conversation(
    server: FakeRealtimeServer, fault: Callable[[FakeSession], Awaitable[None]]
) -> None:
    async with talking(server, instructions="Be brief.") as (talk, first):
        await talk.model.send(ours.UpdateSettings({"instructions": "Be very brief."}))
        await first.wait_for("session.update", 2)
        await talk.model.send(ours.AddText("remember seven", item_id="item_seven"))
        await fault(first)
        second = await server.next_session()
        item = await second.wait_for("conversation.item.create")
        assert item["item"]["id"] == "item_seven", "ids of clients are kept"
        assert second.settings["instructions"] == "Be very brief."
        await second.say(tone(40), "seven")
        assert (await talk.until(ours.ResponseDone)).status is ours.ResponseStatus.COMPLETED
        assert not talk.all_of(ours.SessionEnded)


@pytest.mark.asyncio
async def test_a_line_that_dies_unnoticed_costs_no_audio(
    server: FakeRealtimeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provider_socket, "HEARTBEAT_S", 2.0)
    async with FreezingRelay(int(server.uri.rsplit(":", 1)[1])) as relay:
        model = ResilientModel(OpenAIRealtimeModel, options=FAST)
        await model.connect(replace(config(server), base_uri=relay.uri))
        async with collecting(model) as talk:
            first = await server.next_session()
            await talk.speak(numbered(1, 20))
            await got_frames(first, 20)
            relay.freeze()
            await talk.speak(numbered(21, 30))
            second = await server.next_session()
            frames = await got_frames(second, 50)
            assert frames == list(range(frames[0], 51))
            assert frames[0] <= 21, "what the dead line swallowed is told again"
            assert len(first.audio) == 20 * 960


@pytest.mark.asyncio
async def test_what_is_sent_while_nobody_listens_comes_through_in_order(
    server: FakeRealtimeServer,
) -> None:
    async with talking(server) as (talk, first):
        server.faults.reject_status = 503
        await first.drop()
        await talk.until_status(ConnectionStatus.RECONNECTING)
        await talk.speak(numbered(1, 50))
        await talk.model.send(ours.AddText("are you there"))
        await talk.model.send(ours.CreateResponse())
        await talk.model.send(ours.TruncateItem("item_gone", 0, 10, ""))
        await talk.model.send(ours.CancelResponse())
        await talk.model.send(ours.CreateResponse(instructions="Say exactly: hi"))
        await talk.model.send(ours.UpdateSettings({"voice": "cedar"}))
        server.faults.reject_status = None
        second = await server.next_session()
        request = await second.wait_for("response.create")
        assert request["response"]["instructions"] == "Say exactly: hi"
        assert frame_numbers(bytes(second.audio)) == list(range(1, 51))
        assert told(second) == ["user: are you there"]
        assert second.settings["audio"]["output"]["voice"] == "cedar"
        assert len(second.all_of("response.create")) == 1, "the one before was cancelled"


@pytest.mark.asyncio
async def test_a_first_session_that_fails_is_a_failed_start(server: FakeRealtimeServer) -> None:
    server.faults.api_key = "another"
    model = ResilientModel(OpenAIRealtimeModel, options=FAST)
    with pytest.raises(ModelConnectError) as caught:
        await model.connect(config(server))
    assert caught.value.code == "invalid_api_key"
    await model.close()


@pytest.mark.asyncio
async def test_a_provider_that_refuses_ends_the_conversation_with_the_cause(
    server: FakeRealtimeServer,
) -> None:
    async with talking(server) as (talk, first):
        server.faults.api_key = "another"
        await first.drop()
        ended = await talk.until(ours.SessionEnded)
        assert (ended.code, ended.is_retryable) == ("invalid_api_key", False)
        with pytest.raises(ModelDisconnectedError):
            await talk.model.send(ours.CreateResponse())


@pytest.mark.asyncio
async def test_a_provider_that_stays_away_ends_the_conversation_after_the_budget(
    server: FakeRealtimeServer,
) -> None:
    policy = replace(FAST.retry, budget_s=0.3)
    async with talking(server, options=replace(FAST, retry=policy)) as (talk, first):
        server.faults.reject_status = 500
        await first.drop()
        assert (await talk.until(ours.SessionEnded)).code == "handshake_failed"


# -- another provider --------------------------------------------------------------------------


@asynccontextmanager
async def with_fallback(
    server: FakeRealtimeServer, other: FakeRealtimeServer, create: Callable[[], RealtimeModel]
) -> AsyncIterator[Talk]:
    """A conversation whose second provider is `other`."""
    source = ModelSource("other", create, config(other, voice="ash"))
    model = ResilientModel(OpenAIRealtimeModel, fallback=source, options=FAST)
    await model.connect(config(server, voice="marin", instructions="Be kind."))
    async with collecting(model) as talk:
        yield talk


@pytest.mark.parametrize(
    "fault", [{"reject_status": 429}, {"reject_status": 500}, {"api_key": "x"}]
)
@pytest.mark.asyncio
async def test_another_provider_takes_over_while_the_first_is_down(
    server: FakeRealtimeServer, fault: dict[str, Any]
) -> None:
    async with (
        FakeRealtimeServer() as other,
        with_fallback(server, other, OpenAIRealtimeModel) as talk,
    ):
        first = await server.next_session()
        await talk.model.send(ours.AddText("remember seven"))
        server.faults = Faults(**fault)
        await first.drop()
        second = await other.next_session()
        await second.wait_for("conversation.item.create")
        assert told(second) == ["user: remember seven"]
        assert second.settings["audio"]["output"]["voice"] == "ash"
        assert second.settings["instructions"] == "Be kind."
        await talk.until_status(ConnectionStatus.OPEN, 2)
        assert talk.model.statistics.fallbacks == 1


@pytest.mark.asyncio
async def test_a_fallback_with_other_rates_hears_and_is_heard(server: FakeRealtimeServer) -> None:
    capabilities = replace(
        OpenAIRealtimeModel().capabilities,
        input_sample_rate_hz=16_000,
        output_sample_rate_hz=16_000,
    )
    async with (
        FakeRealtimeServer() as other,
        with_fallback(server, other, lambda: OpenAIRealtimeModel(capabilities)) as talk,
    ):
        first = await server.next_session()
        server.faults.reject_status = 429
        await first.drop()
        second = await other.next_session()
        await talk.until_status(ConnectionStatus.OPEN, 2)
        await talk.speak([tone(20)] * 50)
        await second.wait_for("input_audio_buffer.append", 50)
        assert abs(len(second.audio) - 16_000 * 2) < 200
        await second.say(tone(300), "ok")
        await talk.until(ours.AudioDone)
        heard_bytes = sum(len(delta.pcm) for delta in talk.all_of(ours.AudioDelta))
        assert abs(heard_bytes - 24_000 * 2 * 0.45) < 200
        assert {delta.sample_rate_hz for delta in talk.all_of(ours.AudioDelta)} == {24_000}

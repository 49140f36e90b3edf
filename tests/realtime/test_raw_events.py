"""Events in the provider's own words, both ways."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from realtime import events as ours
from realtime.events import RawEventReceived, SendRaw
from realtime.model import RealtimeModelConfig, UnsupportedCommandError
from realtime.openai.model import OpenAIRealtimeModel
from realtime.raw_events import MAX_RAW_CHARACTERS, raw_event, raw_text
from tests.fakes.openai_realtime import FakeRealtimeServer, FakeSession, tone
from tests.realtime.calls import Call
from tests.realtime.gemini.call import calling
from tests.realtime.resilience.stage import talking


async def opened(server: FakeRealtimeServer, *, is_raw: bool) -> Call[FakeSession]:
    model = OpenAIRealtimeModel()
    await model.connect(
        RealtimeModelConfig("gpt-realtime-2.1", server.uri, "k", passes_raw_events=is_raw)
    )
    return Call(model, await server.next_session())


@pytest.mark.asyncio
async def test_a_raw_event_goes_out_as_it_is() -> None:
    async with FakeRealtimeServer() as server:
        call = await opened(server, is_raw=False)
        message = {"type": "conversation.item.retrieve", "item_id": "item_é", "event_id": "mine"}
        await call.model.send(SendRaw(message))
        assert await call.session.wait_for("conversation.item.retrieve") == message
        await call.model.close()


@pytest.mark.asyncio
async def test_a_raw_request_for_a_reply_gets_one_and_others_wait_for_it() -> None:
    reply_with = lambda session: session.say(tone(40), "raw")  # noqa: E731
    async with FakeRealtimeServer(reply_with=reply_with) as server:
        call = await opened(server, is_raw=False)
        await call.model.send(SendRaw({"type": "response.create", "response": {}}))
        await call.until(ours.ResponseCreated)
        await call.model.send(ours.CreateResponse())
        await call.until(ours.ResponseDone)
        await call.until(ours.ResponseDone)
        assert not call.all_of(ours.ProviderError)
        await call.model.close()


@pytest.mark.asyncio
async def test_frames_come_raw_before_what_they_mean_for_those_who_asked() -> None:
    async with FakeRealtimeServer() as server:
        for is_raw in (True, False):
            call = await opened(server, is_raw=is_raw)
            await call.alongside(call.session.say(tone(20), "hi"), ours.ResponseDone)
            raw = call.all_of(RawEventReceived)
            if not is_raw:
                assert not raw
            else:
                sent = [each.frame for each in call.session.sent]
                assert [each.data for each in raw] == sent[: len(raw)]
                assert [each.type for each in raw[:2]] == ["session.created", "session.updated"]
                place = call.seen.index(call.all_of(ours.ResponseCreated)[0])
                before = call.seen[place - 1]
                assert isinstance(before, RawEventReceived)
                assert before.type == "response.created"
            await call.model.close()


@pytest.mark.asyncio
async def test_gemini_takes_and_passes_its_own_messages() -> None:
    async with calling(passes_raw_events=True) as call:
        message = {"realtimeInput": {"text": "hello"}}
        await call.model.send(SendRaw(message))
        assert await call.session.wait_for("realtimeInput", "text") == "hello"
        await call.alongside(call.session.send({"novelty": {"a": 1}}), ours.UnknownEventReceived)
        assert [each.type for each in call.all_of(RawEventReceived)] == ["setupComplete", "novelty"]
        assert call.all_of(RawEventReceived)[1].data == {"novelty": {"a": 1}}
        with pytest.raises(UnsupportedCommandError, match="JSON object"):
            await call.model.send(SendRaw({}))


@pytest.mark.asyncio
async def test_in_an_outage_it_is_refused_and_no_other_session_gets_it() -> None:
    async with (
        FakeRealtimeServer() as server,
        talking(server) as (talk, first),
    ):
        server.faults.reject_status = 503
        await first.drop()
        await talk.until_status(ours.ConnectionStatus.RECONNECTING)
        with pytest.raises(UnsupportedCommandError, match="being reached again"):
            await talk.model.send(SendRaw({"type": "input_audio_buffer.clear"}))
        server.faults.reject_status = None
        second = await server.next_session()
        await talk.until_status(ours.ConnectionStatus.OPEN, 2)
        await talk.model.send(SendRaw({"type": "input_audio_buffer.commit"}))
        async with asyncio.timeout(10):
            await second.wait_for("input_audio_buffer.commit")
        assert not second.all_of("input_audio_buffer.clear")


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ({}, "JSON object"),
        ({"item_id": "x"}, "type"),
        ({"type": 3}, "type"),
        ({"type": ""}, "type"),
        ({"type": "x", "data": {1, 2}}, "JSON values"),
        ({"type": "x", "data": float("nan")}, "JSON values"),
        ({"type": "x", "data": "a" * MAX_RAW_CHARACTERS}, "at most"),
    ],
)
def test_what_is_no_event_is_refused(message: Mapping[str, Any], words: str) -> None:
    with pytest.raises(UnsupportedCommandError, match=words):
        raw_text(message)


def test_an_event_that_holds_itself_is_refused() -> None:
    message: dict[str, Any] = {"type": "x"}
    message["self"] = message
    with pytest.raises(UnsupportedCommandError, match="JSON values"):
        raw_text(message)


def test_received_frames_are_bounded_and_can_be_written_again() -> None:
    assert raw_event("no json") is None
    assert raw_event("[1]") is None
    assert raw_event(b'{"type": "a", "x": "\\ud83d", "n": NaN}') == RawEventReceived(
        "a", {"type": "a", "x": "\ufffd", "n": None}
    )
    assert raw_event('{"b": 1, "a": 2}') == RawEventReceived("b,a", {"b": 1, "a": 2})
    huge = raw_event('{"type": "a", "x": "' + "y" * MAX_RAW_CHARACTERS + '"}')
    assert huge == RawEventReceived("a", {})

"""A session with a server of OpenAI's protocol, over a real socket."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any, Literal

import pytest
import pytest_asyncio
from openai.types.realtime import RealtimeClientEvent
from pydantic import TypeAdapter

from realtime import events as ours
from realtime.model import (
    ModelConnectError,
    ModelDisconnectedError,
    ModelSettings,
    RealtimeModelConfig,
    UnsupportedCommandError,
)
from realtime.openai.model import OpenAIRealtimeModel
from realtime.providers import create_model
from tests.deadlines import DEADLINE_S
from tests.fakes.openai_realtime import FakeRealtimeServer, FakeSession, Faults, tone
from tests.realtime.calls import Call
from tests.realtime.resilience.giving_up import give_up_connecting

_LOG = logging.getLogger("test")
ADAPTER: TypeAdapter[Any] = TypeAdapter(RealtimeClientEvent)


def config(server: FakeRealtimeServer, **changes: Any) -> RealtimeModelConfig:
    values: dict[str, Any] = {"model": "gpt-realtime-2.1", "base_uri": server.uri, "api_key": "k"}
    return RealtimeModelConfig(**values | changes)


@pytest_asyncio.fixture
async def server() -> AsyncIterator[FakeRealtimeServer]:
    async with FakeRealtimeServer() as running:
        yield running


@pytest_asyncio.fixture
async def call(server: FakeRealtimeServer) -> AsyncIterator[Call[FakeSession]]:
    model = OpenAIRealtimeModel()
    await model.connect(config(server))
    call = Call(model, await server.next_session())
    yield call
    for received in call.session.received:
        ADAPTER.validate_python(received.frame)
    await model.close()


# -- opening and closing -----------------------------------------------------------------------


@pytest.mark.asyncio
async def test_connect_returns_when_the_settings_are_confirmed(server: FakeRealtimeServer) -> None:
    model = OpenAIRealtimeModel()
    settings = ModelSettings(instructions="Be brief.", voice="cedar")
    await model.connect(config(server, settings=settings))
    session = await server.next_session()
    assert [event.type for event in session.sent] == ["session.created", "session.updated"]
    assert session.settings["instructions"] == "Be brief."
    assert session.settings["audio"]["output"]["voice"] == "cedar"
    call = Call(model, session)
    opened = await call.until(ours.SessionOpened)
    assert opened == ours.SessionOpened(session.settings["id"], 1_900_000_000)
    assert call.seen[0] == ours.ConnectionChanged(ours.ConnectionStatus.OPEN)
    await model.close()


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("faults", "changes", "code", "is_retryable"),
    [
        (Faults(api_key="another"), {}, "invalid_api_key", False),
        (Faults(setup_error="cannot_update_voice"), {}, "cannot_update_voice", False),
        (Faults(is_mute=True), {"timeout_s": 0.1}, "timeout", True),
        (Faults(is_silent=True), {"timeout_s": 0.2}, "timeout", True),
        (Faults(), {"headers": {"OpenAI-Beta": "realtime=v1"}}, "beta_api_shape_disabled", False),
        (Faults(), {"settings": ModelSettings(speed=9)}, "invalid_settings", False),
    ],
)
async def test_failed_connect_says_why_and_leaves_nothing(
    faults: Faults, changes: dict[str, Any], code: str, is_retryable: bool
) -> None:
    async with FakeRealtimeServer(faults=faults) as server:
        model = OpenAIRealtimeModel()
        with pytest.raises(ModelConnectError) as caught:
            await model.connect(config(server, **changes))
        assert (caught.value.code, caught.value.is_retryable) == (code, is_retryable)
        await model.close()


@pytest.mark.asyncio
async def test_server_that_leaves_during_setup_is_a_failed_handshake() -> None:
    server = FakeRealtimeServer(faults=Faults(is_silent=True))
    async with server, asyncio.TaskGroup() as group:
        group.create_task(_leave(server))
        error = await _connect(OpenAIRealtimeModel(), server)
    assert (error.code, error.is_retryable) == ("handshake_failed", True)


async def _leave(server: FakeRealtimeServer) -> None:
    await (await server.next_session()).drop()


@pytest.mark.asyncio
@pytest.mark.parametrize("fault", [Faults(is_mute=True), Faults(is_silent=True)])
@pytest.mark.parametrize("how", ["cancel", "close"])
async def test_connecting_can_be_given_up(fault: Faults, how: Literal["cancel", "close"]) -> None:
    async with FakeRealtimeServer(faults=fault) as server:
        given = config(server, timeout_s=2)
        await give_up_connecting(OpenAIRealtimeModel(), given, server.was_asked, how)


async def _connect(model: OpenAIRealtimeModel, server: FakeRealtimeServer) -> ModelConnectError:
    with pytest.raises(ModelConnectError) as caught:
        await model.connect(config(server, timeout_s=2))
    return caught.value


@pytest.mark.asyncio
async def test_commands_without_a_session_are_refused(server: FakeRealtimeServer) -> None:
    model = OpenAIRealtimeModel()
    with pytest.raises(ModelDisconnectedError):
        await model.send(ours.AppendAudio(b"\0\0"))
    await model.connect(config(server))
    await model.close()
    await model.close()
    with pytest.raises(ModelDisconnectedError):
        await model.send(ours.AppendAudio(b"\0\0"))
    async with asyncio.timeout(DEADLINE_S):
        assert [event async for event in model.events()][-1] == ours.SessionEnded(
            "closed by us", "closed", is_retryable=False
        )


@pytest.mark.asyncio
async def test_lost_socket_ends_the_events_with_the_reason(call: Call[FakeSession]) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(call.session.close(1001, "session_expired"))
        ended = await call.until(ours.SessionEnded)
    assert call.seen[-2] == ours.ConnectionChanged(ours.ConnectionStatus.CLOSED, ended.reason)
    assert "session_expired" in ended.reason
    assert [event async for event in call.events] == []


@pytest.mark.asyncio
async def test_socket_dropped_within_a_reply_ends_the_events(call: Call[FakeSession]) -> None:
    async def drop_while_speaking() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(call.session.say(tone(2000), "a long story", pace=1.0))
            await call.session.wait_sent("response.output_audio.delta")
            await call.session.drop()
            call.session._cut.set()

    async with asyncio.TaskGroup() as group:
        group.create_task(drop_while_speaking())
        await call.until(ours.AudioDelta)
        assert "1006" in (await call.until(ours.SessionEnded)).reason


# -- talking -----------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_a_reply_arrives_whole_and_in_order(call: Call[FakeSession]) -> None:
    pcm = tone(450)
    done = await call.alongside(call.session.say(pcm, "Hello there, friend."), ours.ResponseDone)
    assert done.status is ours.ResponseStatus.COMPLETED
    deltas = call.all_of(ours.AudioDelta)
    assert b"".join(delta.pcm for delta in deltas) == pcm
    assert {(d.response_id, d.item_id, d.sample_rate_hz) for d in deltas} == {
        (done.response_id, deltas[0].item_id, 24_000)
    }
    words = "".join(delta.delta for delta in call.all_of(ours.TranscriptDelta))
    assert words == "Hello there, friend."
    assert call.all_of(ours.TranscriptDone)[0].transcript == words


@pytest.mark.asyncio
async def test_every_command_reaches_the_server(call: Call[FakeSession]) -> None:
    pcm = tone(200)
    await call.model.send(ours.AppendAudio(pcm))
    await call.model.send(ours.CommitAudio())
    await call.model.send(ours.ClearAudio())
    await call.model.send(ours.AddText("hi", item_id="mine"))
    await call.model.send(ours.AddText("hello", role="assistant"))
    await call.model.send(ours.AddImage(b"\xff\xd8"))
    await call.model.send(ours.AddToolOutput("call_1", "42"))
    await call.model.send(ours.UpdateSettings({"instructions": "Be loud."}))
    await call.model.send(ours.AnswerToolApproval("ask_1", is_approved=False, reason="no"))
    await call.model.send(ours.DeleteItem("mine"))
    await call.session.wait_for("conversation.item.delete")
    assert bytes(call.session.audio) == pcm
    items = [event["item"] for event in call.session.all_of("conversation.item.create")]
    assert [item.get("role", item["type"]) for item in items] == [
        "user",
        "assistant",
        "user",
        "function_call_output",
        "mcp_approval_response",
    ]
    assert items[4]["approve"] is False
    assert items[0]["id"] == "mine"
    assert items[2]["content"][0]["image_url"] == "data:image/jpeg;base64,/9g="
    assert call.session.settings["instructions"] == "Be loud."
    assert await call.until(ours.ItemDeleted) == ours.ItemDeleted("mine")
    assert call.all_of(ours.SessionUpdated)
    assert not call.all_of(ours.ProviderError)


@pytest.mark.asyncio
async def test_commands_that_the_model_cannot_carry_out_are_refused(
    server: FakeRealtimeServer, call: Call
) -> None:
    with pytest.raises(UnsupportedCommandError, match="speed"):
        await call.model.send(ours.UpdateSettings({"speed": 9}))
    blind = create_model("local")
    await blind.connect(config(server))
    with pytest.raises(UnsupportedCommandError, match="images"):
        await blind.send(ours.AddImage(b"\xff\xd8"))
    await blind.close()


@pytest.mark.asyncio
async def test_requests_for_replies_wait_for_the_active_one_and_merge(
    call: Call[FakeSession],
) -> None:
    call.session.reply_with = lambda session: session.say(tone(40), "second")

    async def first() -> None:
        await call.session.say(tone(400), "first", pace=0.2)

    await call.alongside(first(), ours.ResponseCreated)
    await call.model.send(ours.CreateResponse())
    await call.model.send(ours.CreateResponse())
    await call.model.send(ours.CreateResponse(instructions="Say exactly: bye"))
    for _ in range(3 - len(call.all_of(ours.ResponseDone))):
        await call.until(ours.ResponseDone)
    requests = call.session.all_of("response.create")
    assert [request.get("response") for request in requests] == [
        None,
        {"instructions": "Say exactly: bye"},
    ]
    assert not call.all_of(ours.ProviderError)


@pytest.mark.asyncio
@pytest.mark.parametrize("has_error_ids", [True, False])
async def test_request_that_lost_a_race_is_sent_again(has_error_ids: bool) -> None:
    async with FakeRealtimeServer(faults=Faults(has_error_ids=has_error_ids)) as server:
        model = OpenAIRealtimeModel()
        await model.connect(config(server))
        call = Call(model, await server.next_session())
        call.session.reply_with = lambda session: session.say(tone(40), "ours")
        async with asyncio.TaskGroup() as group:
            # The provider begins a reply of its own, and we ask before we read of it.
            speaking = group.create_task(call.session.say(tone(300), "its own", pace=0.5))
            await call.session.wait_sent("response.output_audio.delta")
            await model.send(ours.CreateResponse())
            await call.session.wait_for("response.create")
            await call.until(ours.ResponseDone)
            await call.until(ours.ResponseDone)
        assert speaking.result().transcript == "its own"
        assert [done.transcript for done in call.all_of(ours.TranscriptDone)] == ["its own", "ours"]
        assert len(call.session.all_of("response.create")) == 2
        assert not call.all_of(ours.ProviderError)
        await model.close()


@pytest.mark.asyncio
async def test_barge_in_cuts_at_the_provider_and_truncates(call: Call[FakeSession]) -> None:
    async def talk_over() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(call.session.say(tone(3000), "a long story of nothing", pace=0.5))
            await call.session.wait_for("input_audio_buffer.append")
            await call.session.speech_started(audio_start_ms=700)

    async with asyncio.TaskGroup() as group:
        group.create_task(talk_over())
        delta = await call.until(ours.AudioDelta)
        await call.model.send(ours.AppendAudio(tone(20)))
        assert (await call.until(ours.SpeechStarted)).audio_start_ms == 700
        await call.model.send(ours.CancelResponse(delta.response_id))
        await call.model.send(ours.TruncateItem(delta.item_id, 0, 60, ""))
        done = await call.until(ours.ResponseDone)
        truncated = await call.until(ours.ItemTruncated)
    assert (done.status, done.reason) == (ours.ResponseStatus.CANCELLED, "turn_detected")
    assert call.all_of(ours.Interrupted) == [ours.Interrupted(delta.response_id)]
    assert truncated == ours.ItemTruncated(delta.item_id, 0, 60)
    # The cancel came too late, which is no error.
    assert not call.all_of(ours.ProviderError)


@pytest.mark.asyncio
async def test_truncating_beyond_what_was_said_is_an_error(call: Call[FakeSession]) -> None:
    await call.alongside(call.session.say(tone(100), "short"), ours.ResponseDone)
    item_id = call.all_of(ours.AudioDelta)[0].item_id
    await call.model.send(ours.TruncateItem(item_id, 0, 101, ""))
    error = await call.until(ours.ProviderError)
    assert (error.code, error.param, error.is_fatal) == ("invalid_value", "audio_end_ms", False)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "faults", [Faults(), Faults(has_item_signal=False), Faults(has_arguments_signal=False)]
)
async def test_tool_call_and_its_answer(faults: Faults) -> None:
    async with FakeRealtimeServer(faults=faults) as server:
        model = OpenAIRealtimeModel()
        await model.connect(config(server))
        call = Call(model, await server.next_session())
        call.session.reply_with = lambda session: session.say(tone(40), "It is 42.")
        acting = call.session.call_tool("add", {"a": 40}, call_id="call_1")
        await call.alongside(acting, ours.ResponseDone)
        (request,) = call.all_of(ours.ToolCallRequested)
        assert (request.call_id, request.name, request.arguments) == ("call_1", "add", '{"a": 40}')
        await model.send(ours.AddToolOutput("call_1", "42"))
        await model.send(ours.CreateResponse())
        assert (await call.until(ours.TranscriptDone)).transcript == "It is 42."
        await call.until(ours.ResponseDone)
        order = [event.type for event in call.session.received]
        assert order[-2:] == ["conversation.item.create", "response.create"]
        await model.close()


@pytest.mark.asyncio
async def test_errors_and_broken_events_are_told_and_survived(call: Call[FakeSession]) -> None:
    await call.session.fail("rate_limit_exceeded", "slow down")
    await call.session.send_raw("not json")
    await call.session.send_raw(
        '{"type":"response.output_audio.delta","response_id":"r","item_id":"i","delta":"?"}'
    )
    await call.session.send_raw('{"type":"response.hum"}')
    await call.session.fail("session_expired", "60 minutes are over")
    await call.until(ours.UnknownEventReceived)
    await call.until(ours.ProviderError)
    errors = [(error.code, error.is_fatal) for error in call.all_of(ours.ProviderError)]
    assert errors == [
        ("rate_limit_exceeded", False),
        ("malformed_event", False),
        ("malformed_event", False),
        ("session_expired", True),
    ]


def test_the_class_keeps_its_contract() -> None:
    from realtime.model import RealtimeModel

    make: Callable[[], RealtimeModel] = OpenAIRealtimeModel
    assert make().capabilities.has_truncation

"""A session with a server of DashScope's protocol, over a real socket, through its habits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from realtime import events as ours
from realtime.dashscope.model import DashScopeRealtimeModel
from realtime.dashscope.reply_end import AFTER_ITEM_S, SILENCE_S
from realtime.dashscope.wire import to_ga
from realtime.model import (
    ModelConnectError,
    ModelSettings,
    RealtimeModel,
    RealtimeModelConfig,
    UnsupportedCommandError,
)
from realtime.providers import create_model
from tests.deadlines import DEADLINE_S
from tests.fakes.dashscope_realtime import FakeDashScopeServer, FakeQwenSession, QwenFaults
from tests.fakes.openai_realtime import tone
from tests.realtime.calls import Call

OMNI = "qwen3.5-omni-flash-realtime"
TOOL = {"type": "function", "name": "add", "parameters": {"type": "object", "properties": {}}}


def config(server: FakeDashScopeServer, **changes: Any) -> RealtimeModelConfig:
    values: dict[str, Any] = {"model": OMNI, "base_uri": server.uri, "api_key": "k"}
    return RealtimeModelConfig(**values | changes)


@asynccontextmanager
async def calling(
    faults: QwenFaults | None = None,
    *,
    model: RealtimeModel | None = None,
    name: str = OMNI,
    settings: ModelSettings | None = None,
) -> AsyncIterator[Call[FakeQwenSession]]:
    async with FakeDashScopeServer(faults=faults) as server:
        model = model or create_model("dashscope", name)
        opening = config(server, model=name, settings=settings or ModelSettings())
        await model.connect(opening)
        yield Call(model, await server.next_qwen_session())
        await model.close()


def given_session(call: Call[FakeQwenSession]) -> dict[str, Any]:
    return dict(call.session.all_of("session.update")[0]["session"])


# -- opening -----------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_the_session_is_flat_and_its_tools_nested() -> None:
    settings = ModelSettings(
        instructions="Be brief.",
        voice="Tina",
        language="zh",
        tools=[TOOL],
        tool_choice="auto",
        turn_detection={"type": "semantic_vad", "create_response": True},
        temperature=0.5,
        max_output_tokens=200,
        extra={"top_p": 0.9, "enable_search": False},
    )
    async with calling(settings=settings) as call:
        assert given_session(call) == {
            "modalities": ["text", "audio"],
            "instructions": "Be brief.",
            "voice": "Tina",
            "input_audio_format": "pcm",
            "output_audio_format": "pcm",
            "input_audio_transcription": {"model": "qwen3-asr-flash-realtime"},
            "turn_detection": {"type": "semantic_vad"},
            "tools": [
                {
                    "type": "function",
                    "function": {"name": "add", "parameters": TOOL["parameters"]},
                }
            ],
            "temperature": 0.5,
            "max_tokens": 200,
            "top_p": 0.9,
            "enable_search": False,
        }
        opened = await call.until(ours.SessionOpened)
        assert opened.session_id == call.session.settings["id"]


@pytest.mark.asyncio
async def test_the_newest_family_nests_its_audio() -> None:
    settings = ModelSettings(voice="Tina", transcription=False, turn_detection=False)
    async with calling(name="qwen3.8-omni-realtime", settings=settings) as call:
        assert given_session(call) == {
            "modalities": ["text", "audio"],
            "audio": {
                "input": {"format": {"type": "pcm", "sample_rate": 16000}},
                "output": {"format": {"type": "pcm", "sample_rate": 24000}, "voice": "Tina"},
            },
            "input_audio_transcription": None,
            "turn_detection": None,
        }


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("name", "settings", "words"),
    [
        ("qwen3-omni-flash-realtime", ModelSettings(tools=[TOOL]), "tools: this model calls no"),
        (OMNI, ModelSettings(tools=[{"type": "mcp", "server_label": "x"}]), "MCP servers"),
        (OMNI, ModelSettings(speed=1.2), "speed: this provider has no"),
        (OMNI, ModelSettings(noise_reduction="near_field"), "input_audio_noise_reduction"),
        (OMNI, ModelSettings(tool_choice="required"), "tool_choice"),
        ("qwen-omni-turbo-realtime", ModelSettings(temperature=1), "temperature: fixed"),
        (
            "qwen3-omni-flash-realtime",
            ModelSettings(turn_detection={"type": "semantic_vad"}),
            "this model has server_vad",
        ),
        (
            OMNI,
            ModelSettings(turn_detection={"type": "server_vad", "interrupt_response": False}),
            "interrupt_response",
        ),
    ],
)
async def test_what_the_model_lacks_is_told_before_a_session_opens(
    name: str, settings: ModelSettings, words: str
) -> None:
    async with FakeDashScopeServer() as server:
        model = create_model("dashscope", name)
        with pytest.raises(ModelConnectError, match=words) as caught:
            await model.connect(config(server, model=name, settings=settings))
        assert (caught.value.code, caught.value.is_retryable) == ("invalid_settings", False)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("faults", "code", "is_retryable"),
    [
        (QwenFaults(api_key="another"), "invalid_api_key", False),
        (QwenFaults(reject_status=429), "rate_limited", True),
        (QwenFaults(reject_status=503), "handshake_failed", True),
        (QwenFaults(is_silent=True), "timeout", True),
        (QwenFaults(setup_error="InvalidParameter"), "InvalidParameter", False),
    ],
)
async def test_failed_connect_says_why(faults: QwenFaults, code: str, is_retryable: bool) -> None:
    async with FakeDashScopeServer(faults=faults) as server:
        with pytest.raises(ModelConnectError) as caught:
            await create_model("dashscope", OMNI).connect(config(server, timeout_s=0.5))
        assert (caught.value.code, caught.value.is_retryable) == (code, is_retryable)


# -- talking -----------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_a_spoken_turn_from_beginning_to_end() -> None:
    async with calling() as call:
        pcm = tone(250)

        async def user_and_model() -> None:
            call.session.reply_with = lambda session: session.say(pcm, "Ni hao.")
            item_id = await call.session.speech_started(audio_start_ms=40)
            await call.session.speech_stopped(item_id, "hello", audio_end_ms=900)

        await call.model.send(ours.AppendAudio(tone(20)))
        done = await call.alongside(user_and_model(), ours.ResponseDone)
        assert done.status is ours.ResponseStatus.COMPLETED
        assert (done.usage.input_tokens, done.usage.details["input_audio_tokens"]) == (10, 6)
        deltas = call.all_of(ours.AudioDelta)
        assert b"".join(delta.pcm for delta in deltas) == pcm
        assert {delta.sample_rate_hz for delta in deltas} == {24_000}
        assert [each.transcript for each in call.all_of(ours.InputTranscriptDone)] == ["hello"]
        assert [each.transcript for each in call.all_of(ours.TranscriptDone)] == ["Ni hao."]
        assert not call.all_of(ours.ProviderError)


@pytest.mark.asyncio
@pytest.mark.parametrize("faults", [QwenFaults(), QwenFaults(has_item_signal=False)])
async def test_tool_call_is_told_once_and_followed_up(faults: QwenFaults) -> None:
    async with calling(faults, settings=ModelSettings(tools=[TOOL])) as call:
        call.session.reply_with = lambda session: session.say(tone(40), "It is 42.")
        acting = call.session.call_tool("add", {"a": 40}, call_id="call_1")
        await call.alongside(acting, ours.ResponseDone)
        (asked,) = call.all_of(ours.ToolCallRequested)
        assert (asked.call_id, asked.name, asked.arguments) == ("call_1", "add", '{"a": 40}')
        assert call.model.capabilities.needs_response_after_tool
        await call.model.send(ours.AddToolOutput("call_1", "42"))
        await call.model.send(ours.CreateResponse())
        assert (await call.until(ours.TranscriptDone)).transcript == "It is 42."
        (item,) = call.session.all_of("conversation.item.create")
        assert item["item"] == {"type": "function_call_output", "call_id": "call_1", "output": "42"}


@pytest.mark.asyncio
async def test_an_image_waits_for_the_first_audio() -> None:
    async with calling() as call:
        with pytest.raises(UnsupportedCommandError, match="JPEG"):
            await call.model.send(ours.AddImage(b"png", "image/png"))
        with pytest.raises(UnsupportedCommandError, match="192 KiB"):
            await call.model.send(ours.AddImage(b"\xff" * 200_000))
        for each in (b"old", b"new"):
            await call.model.send(ours.AddImage(each))
        await call.model.send(ours.AppendAudio(tone(20)))
        await call.model.send(ours.AddImage(b"next"))
        await call.session.wait_for("input_image_buffer.append", 2)
        await call.model.send(ours.ClearAudio())
        await call.session.wait_for("input_audio_buffer.clear")
        assert call.session.images == [b"new", b"next"]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("name", "command", "words"),
    [
        (OMNI, ours.TruncateItem("i", 0, 5, ""), "cannot forget"),
        (OMNI, ours.AddText("hello"), "only speech"),
        ("qwen-audio-realtime", ours.AddImage(b"x"), "cannot see"),
        ("qwen-audio-realtime", ours.AddToolOutput("c", "x"), "no tools"),
        (OMNI, ours.AnswerToolApproval("r", is_approved=True), "no tools of its own"),
    ],
)
async def test_what_the_model_cannot_do_is_refused_by_name(
    name: str, command: ours.ModelCommand, words: str
) -> None:
    with pytest.raises(UnsupportedCommandError, match=words):
        await create_model("dashscope", name).send(command)


@pytest.mark.asyncio
async def test_qwen_audio_reads_text() -> None:
    async with calling(name="qwen-audio-realtime") as call:
        call.session.reply_with = lambda session: session.say(tone(40), "Hi.")
        await call.model.send(ours.AddText("hello"))
        await call.model.send(ours.CreateResponse(instructions="Be kind."))
        assert (await call.until(ours.TranscriptDone)).transcript == "Hi."
        (asked,) = call.session.all_of("response.create")
        assert asked["response"] == {"instructions": "Be kind."}


# -- cutting -----------------------------------------------------------------------------------


async def cut_reply(call: Call[FakeQwenSession], how: str) -> Any:
    """Let the model talk, cut it, and return the end of its reply."""
    async with asyncio.TaskGroup() as group:
        group.create_task(_say(call))
        delta = await call.until(ours.AudioDelta)
        if how == "cancel":
            await call.model.send(ours.CancelResponse(delta.response_id))
        else:
            await call.session.speech_started()
        return await call.until(ours.ResponseDone)


async def _say(call: Call[FakeQwenSession]) -> None:
    await call.session.say(tone(3000), "a long story of nothing", pace=0.5)


@pytest.mark.asyncio
@pytest.mark.parametrize("forgets", ["", "response", "items"])
@pytest.mark.parametrize("how", ["cancel", "speech"])
async def test_a_cut_reply_ends_whatever_the_provider_forgets(
    forgets: Any, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("realtime.dashscope.reply_end.SILENCE_S", 0.4)
    monkeypatch.setattr("realtime.dashscope.reply_end.AFTER_ITEM_S", 0.05)
    async with calling(QwenFaults(forgets_done=forgets, late_deltas=2)) as call:
        done = await cut_reply(call, how)
        reason = "client_cancelled" if how == "cancel" else "turn_detected"
        assert (done.status, done.reason) == (ours.ResponseStatus.CANCELLED, reason)
        assert len(call.all_of(ours.Interrupted)) == (how == "speech")
        # The next reply is asked for and answered: nothing hangs on the forgotten end.
        call.session.reply_with = lambda session: session.say(tone(40), "next")
        await call.model.send(ours.CreateResponse())
        assert (await call.until(ours.ResponseDone)).status is ours.ResponseStatus.COMPLETED
        assert len(call.all_of(ours.ResponseDone)) == 2


def test_the_waits_for_a_forgotten_end() -> None:
    assert (SILENCE_S, AFTER_ITEM_S) == (5.0, 0.3)


@pytest.mark.asyncio
async def test_cancelling_nothing_sends_nothing() -> None:
    async with calling() as call:
        await call.model.send(ours.CancelResponse())
        await call.model.send(ours.ClearAudio())
        await call.session.wait_for("input_audio_buffer.clear")
        assert not call.session.all_of("response.cancel")


# -- ending ------------------------------------------------------------------------------------


@pytest.mark.asyncio
@pytest.mark.parametrize("has_ack", [True, False])
@pytest.mark.parametrize("is_read", [True, False])
async def test_the_end_is_asked_for(
    has_ack: bool, is_read: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("realtime.dashscope.model.FINISH_TIMEOUT_S", 0.2)
    async with calling(QwenFaults(has_finish_ack=has_ack)) as call, asyncio.TaskGroup() as group:
        reading = group.create_task(call.until(ours.SessionEnded)) if is_read else None
        if is_read:
            await call.session.say(tone(20), "hi")
        async with asyncio.timeout(DEADLINE_S):
            await call.model.close()
            await call.model.close()
        assert len(call.session.all_of("session.finish")) == 1
        if reading is not None:
            assert (await reading).code == "closed"


@pytest.mark.asyncio
async def test_qwen_audio_knows_no_finish() -> None:
    async with calling(name="qwen-audio-realtime") as call:
        await call.model.close()
        assert not call.session.all_of("session.finish")


@pytest.mark.asyncio
async def test_closing_before_connecting_is_harmless() -> None:
    await DashScopeRealtimeModel(OMNI).close()


@pytest.mark.asyncio
async def test_an_idle_cut_is_retryable_and_a_drop_too() -> None:
    async with calling(QwenFaults(idle_cut_s=0.05)) as call:
        ended = await call.until(ours.SessionEnded)
        assert (ended.code, ended.is_retryable) == ("idle", True)
    async with calling() as call:
        await call.session.drop()
        ended = await call.until(ours.SessionEnded)
        assert (ended.code, ended.is_retryable) == ("disconnected", True)


@pytest.mark.asyncio
async def test_errors_and_broken_events_are_told_and_survived() -> None:
    async with calling() as call:
        await call.session.fail("InternalError", kind="server_error")
        await call.session.send_raw("not json")
        await call.session.send_raw('{"type":"voiceprint_audio_list.completed"}')
        await call.until(ours.UnknownEventReceived)
        codes = [error.code for error in call.all_of(ours.ProviderError)]
        assert codes == ["InternalError", "malformed_event"]


def test_the_arguments_of_a_call_are_told_also_without_its_id() -> None:
    frame = {"type": "response.function_call_arguments.done", "item_id": "i", "arguments": "{}"}
    assert to_ga(frame) == [frame]

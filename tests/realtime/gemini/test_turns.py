"""Turns, tools and pictures with Gemini Live, over a real socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from realtime import events as ours
from realtime.events import ResponseStatus
from realtime.gemini.mapping import LATE_S
from realtime.model import ModelSettings, UnsupportedCommandError
from tests.fakes.gemini_live import GeminiFaults
from tests.fakes.openai_session import tone
from tests.realtime.gemini.call import MODEL, VOICE, GeminiCall, calling, hello


@pytest_asyncio.fixture
async def call() -> AsyncIterator[GeminiCall]:
    async with calling() as call:
        yield call


# -- turns -------------------------------------------------------------------------------------


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "faults",
    [
        GeminiFaults(),
        GeminiFaults(is_text=True),
        GeminiFaults(has_finished=True, has_updates=False),
        GeminiFaults(has_status=True, has_voice_activity=True),
    ],
)
async def test_a_spoken_turn(faults: GeminiFaults) -> None:
    async with calling(faults) as call:
        await call.model.send(ours.AppendAudio(b"\1\0" * 16_000))
        await call.session.wait_heard(32_000)
        await call.session.hear("who are you")
        done = await call.alongside(hello(call.session), ours.ResponseDone)
        assert done.status is ResponseStatus.COMPLETED
        assert done.usage.total_tokens == 30
        assert call.voice(done.response_id) == VOICE
        [words] = call.all_of(ours.InputTranscriptDone)
        [said] = call.all_of(ours.TranscriptDone)
        assert (words.transcript, said.transcript) == ("who are you", "Hello there.")
        [started], [stopped] = call.all_of(ours.SpeechStarted), call.all_of(ours.SpeechStopped)
        assert started.item_id == stopped.item_id == words.item_id
        if faults.has_voice_activity:
            assert (started.audio_start_ms, stopped.audio_end_ms) == (250, 1_500)
        else:
            assert (started.audio_start_ms, stopped.audio_end_ms) == (500, 1_000)


@pytest.mark.asyncio
@pytest.mark.parametrize("has_end", [True, False])
async def test_barge_in(has_end: bool) -> None:
    faults = GeminiFaults(late_audio=2, has_turn_end_after_cut=has_end)
    async with calling(faults) as call:
        async with asyncio.TaskGroup() as group:
            group.create_task(call.session.say(tone(5_000), "a very long story", pace=1.0))
            await call.until(ours.AudioDelta)
            await call.session.hear("wait")
            cut = await call.until(ours.Interrupted)
        for _ in range(faults.late_audio):
            assert (await call.until(ours.AudioDelta)).response_id == cut.response_id
        call.clock.ahead_s += 0.0 if has_end else 2 * LATE_S
        done = await call.alongside(hello(call.session), ours.ResponseDone)
        assert (done.response_id, done.status) == (cut.response_id, ResponseStatus.CANCELLED)
        assert done.reason == "turn_detected"
        again = await call.until(ours.ResponseDone)
        assert (again.status, call.voice(again.response_id)) == (ResponseStatus.COMPLETED, VOICE)
        assert isinstance(call.seen[call.seen.index(cut) - 1], ours.SpeechStarted)


@pytest.mark.asyncio
async def test_greeting_is_asked_for_and_waits_its_turn(call: GeminiCall) -> None:
    call.session.reply_with = hello
    await call.model.send(ours.CreateResponse("Say exactly: Hello there."))
    await call.until(ours.ResponseCreated)
    await call.model.send(ours.CreateResponse("Say exactly: again"))
    await call.until(ours.ResponseDone)
    asked = await call.session.wait_for("clientContent", count=1)
    assert asked["turns"][0]["parts"] == [{"text": "Say exactly: Hello there."}]
    done = await call.until(ours.ResponseDone)
    assert done.status is ResponseStatus.COMPLETED
    assert call.session.history[2] == ("user", "Say exactly: again")


@pytest.mark.asyncio
async def test_cancelled_reply_is_left_out_and_the_next_request_stops_it(call: GeminiCall) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(call.session.say(tone(5_000), "a long story", pace=1.0))
        first = await call.until(ours.AudioDelta)
        await call.model.send(ours.CancelResponse("another"))
        await call.model.send(ours.CancelResponse(first.response_id))
        call.session.reply_with = hello
        await call.model.send(ours.AddText("what time is it"))
        await call.model.send(ours.CreateResponse())
        cancelled = await call.until(ours.ResponseDone)
    done = await call.until(ours.ResponseDone)
    assert (cancelled.response_id, cancelled.status, cancelled.reason) == (
        first.response_id,
        ResponseStatus.CANCELLED,
        "client_cancelled",
    )
    assert call.voice(done.response_id) == VOICE
    assert call.voice(first.response_id) == first.pcm
    assert not call.all_of(ours.SpeechStarted)


@pytest.mark.asyncio
async def test_text_added_within_a_reply_waits_for_its_end(call: GeminiCall) -> None:
    call.session.reply_with = hello
    await call.model.send(ours.CreateResponse("Say exactly: Hello there."))
    await call.model.send(ours.AddText("a note", "system"))
    await call.until(ours.AudioDelta)
    await call.until(ours.ResponseDone)
    asked, note = await call.session.wait_for("clientContent", count=2) and call.session.all_of(
        "clientContent"
    )
    assert (asked["turnComplete"], note["turnComplete"]) == (True, False)
    assert "a note" in note["turns"][0]["parts"][0]["text"]


@pytest.mark.asyncio
async def test_text_on_a_model_that_takes_no_content() -> None:
    async with calling(name="gemini-3.1-flash-live-preview") as call:
        call.session.reply_with = hello
        await call.model.send(ours.AddText("hi"))
        await call.model.send(ours.CreateResponse())
        await call.until(ours.ResponseDone)
        assert call.session.history == [("user", "hi"), ("model", "Hello there.")]
        with pytest.raises(UnsupportedCommandError):
            await call.model.send(ours.AddText("be kind", "system"))


@pytest.mark.asyncio
async def test_manual_turn() -> None:
    settings = ModelSettings(turn_detection=False)
    async with calling(settings=settings) as call:
        call.session.reply_with = hello
        for command in (ours.ClearAudio(), ours.AppendAudio(b"\1\0"), ours.CommitAudio()):
            await call.model.send(command)
        await call.model.send(ours.CreateResponse())
        await call.until(ours.ResponseDone)
        assert [each.content.keys() for each in call.session.received[1:]] == [
            {"activityStart"},
            {"audio"},
            {"activityEnd"},
        ]
        assert not call.all_of(ours.SpeechStarted)


# -- tools, pictures, settings -----------------------------------------------------------------


@pytest.mark.asyncio
@pytest.mark.parametrize("name", [MODEL, "gemini-2.5-flash-native-audio-preview-12-2025"])
async def test_parallel_calls_are_answered_and_the_reply_goes_on(name: str) -> None:
    async with calling(name=name) as call:
        call.session.reply_with = hello
        calls = ("c1", "add", {"a": 1}), ("c2", "add", {"a": 2})
        await call.alongside(call.session.call_tools(*calls), ours.ToolCallRequested)
        await call.until(ours.ToolCallRequested)
        await call.model.send(ours.AddToolOutput("c2", "two"))
        await call.model.send(ours.AddToolOutput("c1", '{"sum": 1}'))
        await call.model.send(ours.AddToolOutput("c1", "again"))
        await call.until(ours.ResponseDone)
        answers = {call_id: each["response"] for call_id, each in call.session.answers.items()}
        assert answers == {"c1": {"sum": 1}, "c2": {"output": "two"}}
        messages = call.session.all_of("toolResponse")
        assert len(messages) == (2 if name == MODEL else 1)
        assert not call.model.capabilities.needs_response_after_tool


@pytest.mark.asyncio
async def test_cancelled_call_is_not_answered(call: GeminiCall) -> None:
    await call.alongside(call.session.call_tools(("c1", "add", {})), ours.ToolCallRequested)
    cancelled = await call.alongside(call.session.hear("no"), ours.ToolCallCancelled)
    assert cancelled.call_ids == ("c1",)
    await call.model.send(ours.AddToolOutput("c1", "3"))
    await call.model.send(ours.AppendAudio(b"\1\0"))
    await call.session.wait_heard(2)
    assert call.session.all_of("toolResponse") == []


@pytest.mark.asyncio
async def test_answer_that_waited_for_a_cancelled_call_goes_out() -> None:
    async with calling(name="gemini-2.5-flash-native-audio-preview-12-2025") as call:
        calls: Any = ("c1", "add", {}), ("c2", "add", {})
        await call.alongside(call.session.call_tools(*calls), ours.ToolCallRequested)
        await call.until(ours.ToolCallRequested)
        await call.model.send(ours.AddToolOutput("c1", "3"))
        await call.session.send({"toolCallCancellation": {"ids": ["c2"]}})
        await call.until(ours.ToolCallCancelled)
        answers = await call.session.wait_for("toolResponse")
        assert [each["id"] for each in answers["functionResponses"]] == ["c1"]


@pytest.mark.asyncio
async def test_pictures_and_changed_settings(call: GeminiCall) -> None:
    await call.model.send(ours.AddImage(b"jpeg"))
    await call.model.send(ours.AddImage(b"too soon"))
    await call.model.send(ours.UpdateSettings({"instructions": "Be long."}))
    await call.session.wait_for("contextUpdate")
    assert call.session.pictures == [b"jpeg"]
    assert call.session.setup["systemInstruction"] == {"parts": [{"text": "Be long."}]}
    for refused in (
        ours.TruncateItem("i", 0, 0, ""),
        ours.UpdateSettings({"voice": "Puck"}),
        ours.AnswerToolApproval("r", is_approved=False),
    ):
        with pytest.raises(UnsupportedCommandError):
            await call.model.send(refused)

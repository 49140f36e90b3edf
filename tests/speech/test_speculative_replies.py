"""Replies begun before the turn is over: adopted, thrown away, and never noticed until asked for."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from speech.dialogue.context import Context, Turn
from speech.engine_pool import Engines
from speech.language_model.protocol import LanguageModelError
from speech.mind import ReplyRequest
from speech.reply_counters import ReplyCounters
from speech.reply_stream import ReplyStream
from speech.server import ModelServer
from speech.speculative_reply import MAX_OPEN, SpeculativeReply
from tests.speech.scripted_model import END, ScriptedModel, call, words
from tests.speech.talk import WEATHER, Caller, calls_of, utterance, words_of
from tests.speech.test_model_replies import talking

pytestmark = pytest.mark.speech

PATIENT = {"type": "server_vad", "silence_duration_ms": 1_500}
PAUSE_MS = 600
"""Long enough to be taken for a possible end, too short to be one for `PATIENT`."""

REST_MS = 2_500


def _counts(server: ModelServer) -> dict[str, int]:
    counts: dict[str, int] = server.minds.counters.as_json()["speculative"]
    return counts


def _without_tail(name: str) -> bytes:
    """A recorded sentence that ends with its last word."""
    samples = np.frombuffer(utterance(name), np.int16)
    last = int(np.flatnonzero(np.abs(samples) > 600)[-1])
    return samples[: last + 1].tobytes()


async def _pause(caller: Caller, model: ScriptedModel, *, requests: int = 1) -> None:
    """Say something and pause, until the model is asked about it."""
    await caller.play(_without_tail("u07_f"), silence_ms=PAUSE_MS)
    await model.asked(requests)


async def _settled(caller: Caller) -> list[str]:
    """All that was emitted up to now."""
    await caller.send(type="session.update", session={"type": "realtime"})
    await caller.until("session.updated")
    return caller.types()


def _detection(**changes: Any) -> dict[str, Any]:
    return {"input": {"turn_detection": PATIENT | changes}}


@pytest.mark.asyncio
async def test_a_reply_begun_in_the_pause_is_the_reply_of_the_turn(engines: Engines) -> None:
    model = ScriptedModel(words("It is ", "378. ", "Anything ", "else?"))
    async with talking(engines, model) as (caller, server):
        await caller.update(audio=_detection())
        await _pause(caller, model)
        assert not [kind for kind in await _settled(caller) if kind.startswith("response")]
        assert _counts(server)["begun"] == 1
        await caller.play(b"", silence_ms=REST_MS)
        done = await caller.until("response.done")
        assert words_of(done) == "It is 378. Anything else?"
        assert (done["response"]["status"], done["response"].get("metadata")) == ("completed", None)
        assert done["response"]["usage"]["input_token_details"]["text_tokens"] == 120
        assert _counts(server) == {
            "begun": 1,
            "adopted": 1,
            "discarded": 0,
            "discarded_model_requests": 0,
            "discarded_model_tokens": 0,
        }
    assert model.said() == [("user", "How much is 27 times 14?")]
    assert len(model.requests) == 1


@pytest.mark.asyncio
async def test_a_reply_is_thrown_away_when_speech_goes_on(engines: Engines) -> None:
    """Its request is closed, and named beside the usage of the reply that came of the whole turn."""
    never = asyncio.Event()
    model = ScriptedModel(["It is ", never], words("378, and five minutes it is."))
    async with talking(engines, model) as (caller, server):
        await caller.update(audio=_detection())
        await _pause(caller, model)
        await caller.play(_without_tail("u03_f"), silence_ms=PAUSE_MS)
        await model.asked(2)
        await caller.play(b"", silence_ms=REST_MS)
        done = await caller.until("response.done")
        assert words_of(done) == "378, and five minutes it is."
        assert model.cancelled == [0]
        counts = _counts(server)
        assert (counts["begun"], counts["adopted"], counts["discarded"]) == (2, 1, 1)
        metadata = done["response"]["metadata"]
        assert metadata["speculative_requests_discarded"] == "1"
        assert int(metadata["speculative_tokens_discarded"]) == counts["discarded_model_tokens"] > 0
        assert done["response"]["usage"]["input_token_details"]["text_tokens"] == 120
    (said,) = model.said()
    assert "27 times 14" in said[1]
    assert "timer" in said[1]


@pytest.mark.asyncio
async def test_a_client_that_asks_itself_gets_the_reply_that_was_begun(engines: Engines) -> None:
    model = ScriptedModel(words("It is 378."))
    async with talking(engines, model) as (caller, server):
        await caller.update(audio=_detection(create_response=False, interrupt_response=False))
        await _pause(caller, model)
        await caller.play(b"", silence_ms=REST_MS)
        await caller.until("conversation.item.input_audio_transcription.completed")
        assert "response.created" not in await _settled(caller)
        await caller.send(type="response.create")
        assert await caller.reply() == "It is 378."
        assert _counts(server)["adopted"] == 1
    assert len(model.requests) == 1


@pytest.mark.asyncio
async def test_another_request_gets_a_reply_of_its_own(engines: Engines) -> None:
    model = ScriptedModel(words("It is 378."), words("Three hundred seventy-eight."))
    async with talking(engines, model) as (caller, server):
        await caller.update(audio=_detection(create_response=False))
        await _pause(caller, model)
        await caller.play(b"", silence_ms=REST_MS)
        await caller.until("conversation.item.input_audio_transcription.completed")
        aside = {"conversation": "none", "input": [], "instructions": "Say exactly: Aside."}
        await caller.send(type="response.create", response=aside)
        assert await caller.reply() == "Aside."
        assert _counts(server)["discarded"] == 0, "what is beside the conversation changes nothing"
        await caller.send(type="response.create", response={"instructions": "In words."})
        assert await caller.reply() == "Three hundred seventy-eight."
        assert (_counts(server)["adopted"], _counts(server)["discarded"]) == (0, 1)


@pytest.mark.asyncio
async def test_a_tool_is_called_only_when_the_turn_is_over(engines: Engines) -> None:
    model = ScriptedModel([*call(0, "get_weather", '{"city":"Oslo"}'), END])
    async with talking(engines, model) as (caller, _):
        await caller.update(audio=_detection(), tools=[WEATHER])
        await _pause(caller, model)
        assert not [kind for kind in await _settled(caller) if kind.startswith("response")]
        await caller.play(b"", silence_ms=REST_MS)
        done = await caller.until("response.done")
        assert [each["arguments"] for each in calls_of(done)] == ['{"city":"Oslo"}']


@pytest.mark.asyncio
async def test_a_failure_in_the_pause_is_spoken_of_only_when_the_turn_is_over(
    engines: Engines,
) -> None:
    model = ScriptedModel([LanguageModelError("unavailable", "down")])
    async with talking(engines, model) as (caller, server):
        await caller.update(audio=_detection())
        await _pause(caller, model)
        await _settled(caller)
        assert not server.minds.counters.failures
        await caller.play(b"", silence_ms=REST_MS)
        assert (await caller.reply()).startswith("Sorry, I can't reach")
        assert server.minds.counters.failures == {"unavailable": 1}


@pytest.mark.asyncio
async def test_a_session_that_ends_in_the_pause_closes_the_request(engines: Engines) -> None:
    never = asyncio.Event()
    model = ScriptedModel([never])
    async with talking(engines, model) as (caller, _):
        await caller.update(audio=_detection())
        await _pause(caller, model)
    assert model.cancelled == [0]


class _Beginnings:
    """Counts what would be begun."""

    def __init__(self) -> None:
        self.begun: list[ReplyRequest] = []
        self.cancelled = 0

    def start(self, request: ReplyRequest) -> ReplyStream:
        self.begun.append(request)
        return self  # type: ignore[return-value]

    usage = None

    def cancel(self) -> None:
        self.cancelled += 1


def _request(said: str, second: int = 0) -> ReplyRequest:
    now = datetime(2026, 11, 21, 15, 45, second, tzinfo=UTC)
    return ReplyRequest(Context(history=(Turn("user", said),), now=now), is_spoken=True)


@pytest.mark.asyncio
async def test_the_same_words_later_are_the_same_request() -> None:
    beginnings = _Beginnings()
    reply = SpeculativeReply(beginnings.start, ReplyCounters())
    reply.begin(_request("Hi.", 1))
    reply.begin(_request("Hi.", 2))
    assert len(beginnings.begun) == 1
    assert reply.take(_request("Hi!", 3)) is None
    assert reply.take(_request("Hi.", 4)) is not None
    assert reply.take(_request("Hi.", 5)) is None, "once"
    assert beginnings.cancelled == 0


@pytest.mark.asyncio
async def test_a_client_that_only_listens_costs_no_replies_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two that nobody asks for are enough; a request for any reply begins anew."""
    monkeypatch.setattr("speech.speculative_reply.EXPIRES_S", 0.0)
    beginnings = _Beginnings()
    reply = SpeculativeReply(beginnings.start, ReplyCounters())
    for number in range(4):
        reply.begin(_request(f"{number}"))
        for _ in range(3):
            await asyncio.sleep(0)
    assert (len(beginnings.begun), beginnings.cancelled) == (2, 2)
    assert reply.take(_request("x")) is None
    reply.begin(_request("y"))
    assert len(beginnings.begun) == 3
    reply.drop()


@pytest.mark.asyncio
async def test_a_process_speculates_a_few_times_at_once() -> None:
    beginnings, counters = _Beginnings(), ReplyCounters()
    replies = [SpeculativeReply(beginnings.start, counters) for _ in range(MAX_OPEN + 1)]
    for reply in replies:
        reply.begin(_request("Hi."))
    assert len(beginnings.begun) == MAX_OPEN
    replies[0].drop()
    replies[-1].begin(_request("Hi."))
    assert len(beginnings.begun) == MAX_OPEN + 1
    for reply in replies:
        reply.drop()
    assert beginnings.cancelled == MAX_OPEN + 1
    assert counters.discarded == counters.speculations

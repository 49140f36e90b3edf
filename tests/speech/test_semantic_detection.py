"""Semantic turn detection with the official client: what ends a turn, and what is waited for."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

import pytest

from speech.engine_pool import Engines
from speech.turns.smart_turn import EndOfTurnModel
from tests.deadlines import DEADLINE_S
from tests.speech.local_model import model_server
from tests.speech.talk import Caller, Event, client_for, spoken, utterance

pytestmark = [pytest.mark.speech, pytest.mark.asyncio]

UNFINISHED = "The package arrived yesterday but,"
REST = "the box was damaged."


class _GatedModel:
    """Calls every turn finished, once it is let."""

    def __init__(self) -> None:
        self.released = threading.Event()
        self._called = threading.Event()

    async def wait_called(self) -> None:
        assert await asyncio.to_thread(self._called.wait, DEADLINE_S)

    def probability(self, _pcm: bytes) -> float:
        self._called.set()
        assert self.released.wait(DEADLINE_S)
        return 0.99


class _BrokenModel:
    """Fails at each call."""

    def __init__(self) -> None:
        self.calls = 0

    def probability(self, _pcm: bytes) -> float:
        self.calls += 1
        raise RuntimeError("broken")


@asynccontextmanager
async def _callers(
    engines: Engines, detection: Event, count: int = 1
) -> AsyncIterator[list[Caller]]:
    """Open sessions with this turn detection."""
    async with model_server(engines) as (_, port), AsyncExitStack() as stack:
        client = await stack.enter_async_context(client_for(port))
        callers = []
        for _ in range(count):
            connection = await stack.enter_async_context(client.realtime.connect(model="local"))
            caller = Caller(connection)
            await caller.until("session.created")
            await caller.update(audio={"input": {"turn_detection": detection}})
            callers.append(caller)
        yield callers
        for caller in callers:
            await caller.hang_up()


def _with_model(engines: Engines, model: EndOfTurnModel | None) -> Engines:
    return replace(engines, end_of_turn=model)


async def _turns_of(caller: Caller, last_word: str) -> list[str]:
    """What was heard in each turn, up to the one that ends so."""
    heard: list[str] = []
    while not heard or not heard[-1].lower().rstrip(".").endswith(last_word):
        event = await caller.until("conversation.item.input_audio_transcription.completed")
        heard.append(event["transcript"])
    return heard


@pytest.mark.parametrize(("kind", "turns"), [("semantic_vad", 1), ("server_vad", 2)])
async def test_a_speaker_may_think_in_the_middle_of_a_sentence(
    engines: Engines, kind: str, turns: int
) -> None:
    async with _callers(engines, {"type": kind}) as (caller,):
        await caller.play(spoken(UNFINISHED), silence_ms=1_200)
        await caller.play(spoken(REST), silence_ms=5_000)
        await _turns_of(caller, "damaged")
        # Not the transcripts: of two turns that come at once, the shorter one may be recognised first.
        kinds = [event["type"] for event in caller.events]
        assert kinds.count("input_audio_buffer.committed") == turns


async def test_eagerness_says_how_long_an_unfinished_sentence_is_waited_for(
    engines: Engines,
) -> None:
    """Three seconds of silence end it at high eagerness, and not yet at the usual one."""
    said = spoken(UNFINISHED)
    for eagerness, is_over in (("high", True), ("auto", False)):
        detection = {"type": "semantic_vad", "eagerness": eagerness}
        async with _callers(engines, detection) as (caller,):
            await caller.play(said, silence_ms=3_000)
            if not is_over:
                await caller.play(spoken(REST), silence_ms=5_000)
            stopped = await caller.until("input_audio_buffer.speech_stopped")
            waited_ms = stopped["audio_end_ms"] - len(said) // 48
            assert (1_900 < waited_ms < 2_400) is is_over, waited_ms


@pytest.mark.parametrize("eagerness", ["high", "auto", "low"])
async def test_a_finished_question_is_answered(engines: Engines, eagerness: str) -> None:
    """Though no more audio comes after it than a second of silence."""
    detection = {"type": "semantic_vad", "eagerness": eagerness}
    async with _callers(engines, detection) as (caller,):
        await caller.speak("u07_f", silence_ms=1_000)
        assert await caller.reply() == "27 times 14 is 378."


async def test_a_finished_turn_ends_before_plain_detection_would_end_it(engines: Engines) -> None:
    """300 ms of silence are enough, when all that is known speaks for it: less than the 400."""
    detection = {"type": "semantic_vad", "eagerness": "high"}
    async with _callers(engines, detection) as (caller,):
        await caller.play(utterance("u07_f")[: -500 * 48], silence_ms=330)
        stopped = await caller.until("input_audio_buffer.speech_stopped")
        assert stopped["audio_end_ms"] <= len(utterance("u07_f")) // 48 - 170
        assert await caller.reply() == "27 times 14 is 378."


async def test_a_judgement_of_a_pause_that_was_none_ends_nothing(engines: Engines) -> None:
    model = _GatedModel()
    async with _callers(_with_model(engines, model), {"type": "semantic_vad"}) as (caller,):
        # Far less than the 400 ms that would end it by its words, should these be known in time.
        await caller.play(spoken("Set a timer for five minutes,"), silence_ms=100)
        await model.wait_called()
        await caller.play(spoken("and turn on the lights."), silence_ms=0)
        await caller.update()  # all of it has been heard by then
        model.released.set()
        await caller.play(b"", silence_ms=5_000)
        heard = await _turns_of(caller, "lights")
        assert len(heard) == 1, heard


@pytest.mark.parametrize("model", [None, _BrokenModel()])
async def test_without_a_model_words_decide(engines: Engines, model: _BrokenModel | None) -> None:
    async with _callers(_with_model(engines, model), {"type": "semantic_vad"}) as (caller,):
        await caller.speak("u07_f", silence_ms=1_000)
        assert await caller.reply() == "27 times 14 is 378."
        await caller.play(spoken(UNFINISHED), silence_ms=1_200)
        await caller.play(spoken(REST), silence_ms=5_000)
        assert len(await _turns_of(caller, "damaged")) == 1
    assert model is None or model.calls > 0


async def test_eight_sessions_that_wait_for_a_judgement_hold_up_nobody(engines: Engines) -> None:
    """The model answers nobody: words decide, as they do on a machine that is too busy for it."""
    model = _GatedModel()
    async with _callers(_with_model(engines, model), {"type": "semantic_vad"}, count=8) as callers:
        for caller in callers:
            await caller.speak("u07_f", silence_ms=1_000)
        await model.wait_called()
        for caller in callers:
            assert await caller.reply() == "27 times 14 is 378."
        model.released.set()

"""Spoken replies of a chat-completions server with the faults of real ones, over both wires."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from realtime import events as ours
from realtime.model import ModelSettings, RealtimeModelConfig
from realtime.providers import create_model
from speech.engine_pool import Engines
from speech.options import LanguageModelOptions, SessionOptions
from speech.settings import SpeechSettings
from tests.fakes.chat_server import (
    Answer,
    Call,
    ChatServer,
    Drop,
    Hang,
    Raw,
    Reasoning,
    answer,
    chat_server,
    refusal,
)
from tests.realtime.calls import Call as ModelCall
from tests.speech.local_model import model_server
from tests.speech.talk import WEATHER, Caller, calls_of, client_for, words_of

pytestmark = pytest.mark.speech

TIMEOUTS = {"first_token_timeout_s": 0.5, "token_timeout_s": 0.5}


def _options(chat: ChatServer, **options: Any) -> LanguageModelOptions:
    return LanguageModelOptions(base_url=chat.base_url, model="scripted", **options)


@asynccontextmanager
async def _talking(engines: Engines, chat: ChatServer, **options: Any) -> AsyncIterator[Caller]:
    settings = SpeechSettings(options=SessionOptions(language_model=_options(chat, **options)))
    async with (
        model_server(engines, settings) as (_, port),
        client_for(port) as client,
        client.realtime.connect(model="parley-local") as connection,
    ):
        caller = Caller(connection)
        await caller.until("session.created")
        yield caller
        await caller.hang_up()


@pytest.mark.asyncio
async def test_an_interruption_closes_the_request_within_50_ms(engines: Engines) -> None:
    """The best of three, as a busy machine may take its time."""
    delays_s: list[float] = []
    async with chat_server() as chat, _talking(engines, chat) as caller:
        for number in range(1, 4):
            chat.script.append(answer("Once upon a time there was a robot. It", Hang()))
            await caller.say_text("Tell me a story.")
            await caller.send(type="response.create")
            await caller.until("response.output_audio.delta")
            call = await chat.wait_for_call(number)
            began_s = time.monotonic()
            await caller.send(type="response.cancel")
            async with asyncio.timeout(20):
                await call.was_closed.wait()
            assert call.closed_at is not None
            delays_s.append(call.closed_at - began_s)
            done = await caller.until("response.done")
            assert done["response"]["status"] == "cancelled"
    assert min(delays_s) < 0.05


@pytest.mark.asyncio
async def test_speech_over_the_reply_closes_the_request(engines: Engines) -> None:
    async with chat_server() as chat, _talking(engines, chat) as caller:
        chat.script.append(answer("Once upon a time there was a robot. It", Hang()))
        await caller.say_text("Tell me a story.")
        await caller.send(type="response.create")
        await caller.until("response.output_audio.delta")
        call = await chat.wait_for_call()
        await caller.speak("u10_f", silence_ms=0)
        await caller.until("input_audio_buffer.speech_started")
        async with asyncio.timeout(20):
            await call.was_closed.wait()


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("scripted", "kind", "sentence"),
    [
        (answer(Hang()), "timeout", "takes too long"),
        (refusal(429, "slow down", Retry_After="60"), "rate_limited", "too many requests"),
        (refusal(503), "unavailable", "can't reach"),
        (refusal(401), "refused", "refused the request"),
        (answer(Drop()), "unavailable", "can't reach"),
        (answer(), "empty", "no answer"),
        (answer(Reasoning("Hm, hm.")), "empty", "no answer"),
        (answer(*[Raw(b"data: {]\n\n")] * 20, has_done=False), "invalid", "can't use"),
    ],
)
async def test_a_server_that_does_not_answer_is_never_silence(
    engines: Engines, scripted: Answer, kind: str, sentence: str
) -> None:
    def again(_call: object) -> Answer:
        return scripted

    async with (
        chat_server(reply_with=again) as chat,
        _talking(engines, chat, **TIMEOUTS) as caller,
    ):
        await caller.say_text("Hello?")
        await caller.send(type="response.create")
        done = (await caller.until("response.done"))["response"]
        assert sentence in words_of({"response": done})
        assert done["status"] == "completed"
        assert done["status_details"]["error"]["code"] == f"language_model_{kind}"
        assert len(caller.audio()) > 48_000


@pytest.mark.asyncio
@pytest.mark.parametrize("fault", [Hang(), Drop()])
async def test_a_server_that_breaks_off_is_spoken_of(engines: Engines, fault: Any) -> None:
    async with chat_server() as chat, _talking(engines, chat, **TIMEOUTS) as caller:
        chat.script.append(answer("It is a long way. You go to", fault))
        await caller.say_text("Where is it?")
        await caller.send(type="response.create")
        done = (await caller.until("response.done"))["response"]
        assert done["status"] == "incomplete"
        assert words_of({"response": done}) == (
            "It is a long way. You go Sorry, I lost the rest of that answer."
        )


@pytest.mark.asyncio
async def test_a_conversation_with_tools(engines: Engines) -> None:
    """The whole way there and back, with real counts of tokens."""
    async with chat_server() as chat, _talking(engines, chat) as caller:
        await caller.update(instructions="You are Ada.", tools=[WEATHER])
        chat.script.append(
            answer(
                "Let me look.",
                Call("get_weather", {"city": "Oslo"}, call_id="a", index=0),
                Call("get_weather", '{"city": "Rome"}', call_id="b", index=1, deltas=3),
            )
        )
        await caller.say_text("Oslo or Rome?")
        await caller.send(type="response.create")
        done = await caller.until("response.done")
        assert words_of(done) == "Let me look."
        for each, output in zip(calls_of(done), ("2 degrees", "24 degrees"), strict=True):
            item = {
                "type": "function_call_output",
                "call_id": each["call_id"],
                "output": output,
            }
            await caller.send(type="conversation.item.create", item=item)
        chat.script.append(answer("Rome is **warmer**, by 22 degrees."))
        await caller.send(type="response.create")
        done = await caller.until("response.done")
        assert words_of(done) == "Rome is **warmer**, by 22 degrees."
        second = chat.calls[1]
        usage = done["response"]["usage"]
        assert usage["input_token_details"]["text_tokens"] == second.prompt_tokens
        assert usage["input_token_details"]["cached_tokens"] == second.prompt_tokens // 2
        assert usage["output_token_details"]["text_tokens"] == second.sent_pieces
        assert second.messages[0]["content"].startswith("You are Ada.")
        outputs = [each["content"] for each in second.messages if each["role"] == "tool"]
        assert outputs == ["2 degrees", "24 degrees"]


@pytest.mark.asyncio
async def test_usage_failures_and_the_fallback_reach_the_agent(engines: Engines) -> None:
    """By the adapter through which agents talk to the local model."""
    async with chat_server() as chat, chat_server(model="second") as second:
        options = SessionOptions(
            language_model=_options(chat),
            fallback_language_model=LanguageModelOptions(base_url=second.base_url, model="second"),
        )
        async with model_server(engines, SpeechSettings(options=options)) as (_, port):
            model = create_model("local", "parley-local")
            settings = ModelSettings(turn_detection=False)
            address = f"ws://127.0.0.1:{port}"
            await model.connect(RealtimeModelConfig("parley-local", address, settings=settings))
            call: ModelCall[None] = ModelCall(model, None)
            chat.script.append(answer("Good day."))
            await model.send(ours.AddText("Hello."))
            await model.send(ours.CreateResponse())
            done = await call.until(ours.ResponseDone)
            assert done.usage.details["input_text_tokens"] == chat.calls[0].prompt_tokens
            assert done.usage.details["input_cached_tokens"] == chat.calls[0].prompt_tokens // 2
            assert done.usage.details["output_text_tokens"] == 1
            assert (done.reason, done.metadata) == (None, {})

            chat.script.append(refusal(401))
            await model.send(ours.AddText("And now?"))
            await model.send(ours.CreateResponse())
            done = await call.until(ours.ResponseDone)
            assert done.metadata == {"language_model": "second"}
            assert done.usage.details["input_text_tokens"] == second.calls[0].prompt_tokens

            second.script.append(refusal(403))
            chat.script.append(refusal(401))
            await model.send(ours.AddText("And then?"))
            await model.send(ours.CreateResponse())
            done = await call.until(ours.ResponseDone)
            assert done.status is ours.ResponseStatus.COMPLETED
            assert done.reason == "language_model_refused"
            await model.close()

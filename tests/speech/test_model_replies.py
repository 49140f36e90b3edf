"""Replies of a language model over the wire, with the real voice: streams, tools, failures, cuts."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from speech.engine_pool import Engines
from speech.language_model.protocol import LanguageModelError, ReplyEnd, ToolCallStarted
from speech.options import LanguageModelOptions, SessionOptions
from speech.server import ModelServer
from speech.settings import SpeechSettings
from tests.speech.local_model import model_server
from tests.speech.scripted_model import END, USAGE, ScriptedModel, Step, call, words
from tests.speech.talk import WEATHER, Caller, calls_of, client_for, words_of

pytestmark = pytest.mark.speech


@asynccontextmanager
async def talking(
    engines: Engines, model: ScriptedModel, *, options: dict[str, Any] | None = None
) -> AsyncIterator[tuple[Caller, ModelServer]]:
    """A session with this model, and its server."""
    chosen = LanguageModelOptions(base_url="http://127.0.0.1:9/v1", model="m", **(options or {}))
    settings = SpeechSettings(options=SessionOptions(language_model=chosen))
    async with (
        model_server(engines, settings, language_model=model) as (server, port),
        client_for(port) as client,
        client.realtime.connect(model="parley-local") as connection,
    ):
        caller = Caller(connection)
        await caller.until("session.created")
        yield caller, server
        await caller.hang_up()


@pytest.mark.asyncio
async def test_a_clause_is_heard_while_the_model_still_writes(engines: Engines) -> None:
    rest = asyncio.Event()
    model = ScriptedModel(["The sea is ", "calm today. ", "And", rest, " the sky is clear.", END])
    async with talking(engines, model) as (caller, _):
        await caller.say_text("How is the sea?")
        await caller.send(type="response.create")
        first = await caller.until("response.output_audio_transcript.delta")
        assert first["delta"] == "The sea is calm today."
        await caller.until("response.output_audio.delta")
        rest.set()
        done = await caller.until("response.done")
    assert words_of(done) == "The sea is calm today. And the sky is clear."
    assert done["response"]["status"] == "completed"
    usage = done["response"]["usage"]
    details = usage["input_token_details"]
    assert (details["text_tokens"], details["cached_tokens"]) == (120, 96)
    assert details["cached_tokens_details"]["text_tokens"] == 96
    assert usage["output_token_details"]["text_tokens"] == 17
    assert usage["output_token_details"]["audio_tokens"] > 20
    assert model.said() == [("user", "How is the sea?")]
    assert model.is_closed


@pytest.mark.asyncio
async def test_a_model_that_stalls_within_a_clause_does_not_make_the_voice_wait(
    engines: Engines,
) -> None:
    rest = asyncio.Event()
    model = ScriptedModel(["The longest river of them all is the Ni", rest, "le.", END])
    async with talking(engines, model) as (caller, _):
        await caller.send(type="response.create")
        first = await caller.until("response.output_audio_transcript.delta")
        assert first["delta"] == "The longest river of them all is the"
        await caller.until("response.output_audio.delta")
        rest.set()
        assert await caller.reply() == "The longest river of them all is the Nile."


@pytest.mark.asyncio
async def test_tool_calls_stream_beside_what_is_said_before_them(engines: Engines) -> None:
    """Two calls of one reply, and then the reply to what the tools gave."""
    rest = asyncio.Event()
    calls: list[Step] = [
        "Let me look. ",
        *call(0, "get_weather", '{"city":', '"Oslo"}'),
        ToolCallStarted(1, "call_1", "get_weather"),
        rest,
        *call(1, "get_weather", '{"city":"Rome"}')[1:],
        ReplyEnd("tool_calls", "scripted", USAGE),
    ]
    model = ScriptedModel(calls, words("Oslo is cold and Rome is warm."))
    async with talking(engines, model) as (caller, _):
        await caller.update(tools=[WEATHER], tool_choice="required")
        await caller.say_text("Compare Oslo and Rome.")
        await caller.send(type="response.create")
        first = await caller.until("response.function_call_arguments.done")
        assert (first["call_id"], first["arguments"]) == ("call_0", '{"city":"Oslo"}')
        rest.set()
        done = await caller.until("response.done")
        kinds = [item["type"] for item in done["response"]["output"]]
        assert kinds == ["message", "function_call", "function_call"]
        assert words_of(done) == "Let me look."
        deltas = [e["delta"] for e in caller.events if e["type"].endswith("arguments.delta")]
        assert deltas == ['{"city":', '"Oslo"}', '{"city":"Rome"}']
        assert [json.loads(each["arguments"])["city"] for each in calls_of(done)] == [
            "Oslo",
            "Rome",
        ]
        request = model.requests[0]
        assert ([tool.name for tool in request.tools], request.tool_choice) == (
            ["get_weather"],
            "required",
        )
        for each, weather in zip(calls_of(done), ("2 degrees", "24 degrees"), strict=True):
            item = {
                "type": "function_call_output",
                "call_id": each["call_id"],
                "output": weather,
            }
            await caller.send(type="conversation.item.create", item=item)
        await caller.send(type="response.create", response={"tool_choice": "none"})
        assert await caller.reply() == "Oslo is cold and Rome is warm."
    assert [each for each in model.said() if each[0] == "tool"] == [
        ("tool", "2 degrees"),
        ("tool", "24 degrees"),
    ]
    assert not model.requests[1].tools


@pytest.mark.asyncio
@pytest.mark.parametrize("reason", ["client_cancelled", "turn_detected"])
async def test_an_interrupted_reply_closes_the_request_at_once(
    engines: Engines, reason: str
) -> None:
    never = asyncio.Event()
    model = ScriptedModel(["The story is long. ", "It begins", never, END], words("Yes."))
    async with talking(engines, model) as (caller, server):
        await caller.say_text("Tell me a story.")
        await caller.send(type="response.create")
        await caller.until("response.output_audio.delta")
        if reason == "client_cancelled":
            await caller.send(type="response.cancel")
        else:
            await caller.speak("u10_f", silence_ms=0)
        done = (await caller.until("response.done"))["response"]
        assert (done["status"], done["status_details"]["reason"]) == ("cancelled", reason)
        assert done["output"][0]["content"][0]["transcript"] == "The story is long."
        assert model.cancelled == [0]
        assert done["usage"]["input_token_details"]["text_tokens"] > 10, "what was asked is counted"
        assert server.minds.counters.as_json()["by_model"] == 1


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        ("timeout", "Sorry, my language model takes too long to answer. Please try again."),
        ("rate_limited", "Sorry, my language model has too many requests."),
        ("unavailable", "Sorry, I can't reach my language model."),
        ("refused", "Sorry, my language model refused the request."),
        ("invalid", "Sorry, my language model answered something I can't use."),
        ("empty", "Sorry, my language model has no answer to that."),
    ],
)
async def test_a_model_that_fails_is_spoken_of_and_forgotten(
    engines: Engines, kind: Any, sentence: str
) -> None:
    model = ScriptedModel([LanguageModelError(kind, "no")], words("Here I am."))
    async with talking(engines, model) as (caller, server):
        await caller.say_text("Hello?")
        await caller.send(type="response.create")
        done = await caller.until("response.done")
        assert words_of(done).startswith(sentence)
        response = done["response"]
        assert response["status"] == "completed"
        assert response["status_details"]["error"]["code"] == f"language_model_{kind}"
        assert len(caller.audio()) > 48_000
        assert await caller.ask("Again?") == "Here I am."
        assert server.minds.counters.as_json()["model_failures"] == {kind: 1}
    assert model.said() == [("user", "Hello? Again?")], "the model is not told of its failure"


@pytest.mark.asyncio
async def test_an_answer_of_nothing_is_a_failure_too(engines: Engines) -> None:
    model = ScriptedModel(words("<think>Hm.</think> "))
    async with talking(engines, model) as (caller, _):
        assert (await caller.ask("Hello?")).startswith("Sorry, my language model has no answer")
        await caller.update(output_modalities=["text"])
        assert (await caller.ask("Hello?")).startswith("Sorry, my language model has no answer")


@pytest.mark.asyncio
async def test_a_reply_that_breaks_off_ends_with_an_honest_sentence(engines: Engines) -> None:
    broken = LanguageModelError("unavailable", "connection lost")
    model = ScriptedModel(["It is well known. That the answ", broken], words("Fine."))
    async with talking(engines, model) as (caller, _):
        await caller.say_text("Go on.")
        await caller.send(type="response.create")
        done = await caller.until("response.done")
        assert done["response"]["status"] == "incomplete"
        assert done["response"]["status_details"]["error"]["code"] == "language_model_unavailable"
        assert words_of(done) == (
            "It is well known. That the Sorry, I lost the rest of that answer."
        )
        assert await caller.ask("And?") == "Fine."
    assert ("assistant", "It is well known. That the—") in model.said()


@pytest.mark.asyncio
async def test_a_call_that_breaks_off_is_never_carried_out(engines: Engines) -> None:
    broken = LanguageModelError("unavailable", "connection lost")
    model = ScriptedModel([*call(0, "get_weather", '{"ci')[:2], broken], words("Fine."))
    async with talking(engines, model) as (caller, _):
        await caller.update(tools=[WEATHER])
        await caller.say_text("Oslo?")
        await caller.send(type="response.create")
        done = await caller.until("response.done")
        assert [each["status"] for each in calls_of(done)] == ["incomplete"]
        assert "response.function_call_arguments.done" not in caller.types()
        assert words_of(done).startswith("Sorry, I can't reach")
        assert await caller.ask("And?") == "Fine."
    assert model.said() == [("user", "Oslo? And?")]


@pytest.mark.asyncio
async def test_a_slow_model_is_announced_once(engines: Engines) -> None:
    answer = asyncio.Event()
    model = ScriptedModel([answer, "It is ", "here.", END], words("Yes."))
    async with talking(engines, model, options={"filler_after_s": 0.05}) as (caller, server):
        await caller.say_text("Where is it?")
        await caller.send(type="response.create")
        filler = await caller.until("response.output_audio_transcript.done")
        assert filler["transcript"] == "One moment."
        answer.set()
        done = await caller.until("response.done")
        assert words_of(done) == "One moment. It is here."
        assert server.minds.counters.fillers == 1
        assert await caller.ask("Sure?") == "Yes."
    assert ("assistant", "It is here.") in model.said(), "the filler is not the model's"


@pytest.mark.asyncio
async def test_a_written_reply_comes_as_the_model_writes_it(engines: Engines) -> None:
    model = ScriptedModel(words("<think>Hm.</think>", " **Bo", "ld**\n\n- one", "\n- two"))
    async with talking(engines, model) as (caller, _):
        await caller.update(output_modalities=["text"])
        assert await caller.ask("A list?") == "**Bold**\n\n- one\n- two"
        deltas = [e["delta"] for e in caller.events if e["type"] == "response.output_text.delta"]
    assert deltas == ["**Bo", "ld**\n\n- one", "\n- two"]
    assert caller.audio() == b""


@pytest.mark.asyncio
async def test_orders_are_carried_out_word_by_word_without_the_model(engines: Engines) -> None:
    model = ScriptedModel(words("No."))
    async with talking(engines, model) as (caller, _):
        await caller.send(type="response.create", response={"instructions": "Say exactly: Hi."})
        assert await caller.reply() == "Hi."
    assert model.requests == []


@pytest.mark.asyncio
async def test_where_rules_are_first_the_model_answers_the_rest(engines: Engines) -> None:
    model = ScriptedModel(words("Canberra."))
    async with talking(engines, model, options={"rules": "first"}) as (caller, _):
        await caller.update(tools=[WEATHER])
        assert await caller.ask("What is 6 times 7?") == "6 times 7 is 42."
        assert await caller.ask("What is the capital of Australia?") == "Canberra."
        named = {"tool_choice": {"type": "function", "name": "get_weather"}}
        await caller.send(type="response.create", response=named)
        assert await caller.reply() == "Canberra."
    assert [request.tool_choice for request in model.requests] == ["auto", "get_weather"]


@pytest.mark.asyncio
async def test_a_reply_beside_the_conversation_has_its_own_settings(engines: Engines) -> None:
    model = ScriptedModel(words("Positive."), words("Yes."))
    async with talking(engines, model) as (caller, _):
        await caller.update(instructions="You are Ada.", tools=[WEATHER])
        content = [{"type": "input_text", "text": "I love it."}]
        params = {
            "conversation": "none",
            "instructions": "Name the sentiment.",
            "input": [{"type": "message", "role": "user", "content": content}],
            "tools": [],
            "output_modalities": ["text"],
            "max_output_tokens": 50,
        }
        await caller.send(type="response.create", response=params)
        assert await caller.reply() == "Positive."
        request = model.requests[0]
        assert (request.tools, request.max_tokens) == ((), 50)
        assert model.said(0) == [("user", "I love it."), ("system", "Name the sentiment.")]
        assert await caller.ask("Are you there?") == "Yes."
    assert model.said(1) == [("user", "Are you there?")]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("reason", "named"), [("length", "max_output_tokens"), ("content_filter", "content_filter")]
)
async def test_a_reply_that_the_model_cut_is_incomplete(
    engines: Engines, reason: Any, named: str
) -> None:
    model = ScriptedModel(["One two three four", ReplyEnd(reason, "scripted", USAGE)])
    async with talking(engines, model) as (caller, _):
        await caller.send(type="response.create")
        done = await caller.until("response.done")
    assert words_of(done) == "One two three four"
    assert done["response"]["status_details"]["reason"] == named


@pytest.mark.asyncio
async def test_what_was_heard_is_what_the_model_is_told(engines: Engines) -> None:
    """Markdown is not spoken; the transcript has it, and it is cut where the listener cut it."""
    model = ScriptedModel(
        words("The **first** one was heard. ", "The second was not."), words("Ok.")
    )
    async with talking(engines, model) as (caller, _):
        await caller.say_text("Tell me two things.")
        await caller.send(type="response.create")
        done = await caller.until("response.done")
        assert words_of(done) == "The **first** one was heard. The second was not."
        item_id = done["response"]["output"][0]["id"]
        first_ms = _audio_ms_before(caller, " The second")
        cut: dict[str, Any] = {"item_id": item_id, "content_index": 0}
        await caller.send(type="conversation.item.truncate", audio_end_ms=first_ms, **cut)
        await caller.until("conversation.item.truncated")
        assert await caller.ask("Go on.") == "Ok."
    assert ("assistant", "The **first** one was heard.—") in model.said()


def _audio_ms_before(caller: Caller, words: str) -> int:
    """The audio that came before the transcript that begins with `words`."""
    pcm_bytes = 0
    for event in caller.events:
        if event["type"] == "response.output_audio.delta":
            pcm_bytes += len(base64.b64decode(event["delta"]))
        if event["type"].endswith("audio_transcript.delta") and event["delta"].startswith(words):
            return pcm_bytes // 48
    raise AssertionError(f"{words!r} was never said")

"""A spoken conversation with a chat server, and with one for every fault: never silence."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import pytest_asyncio

from speech.engine_pool import Engines
from speech.language_model.messages import CUT_MARK
from speech.notices import Notice, notice_text
from speech.options import SessionOptions
from speech.settings import SpeechSettings
from tests.deadlines import DEADLINE_S
from tests.fakes.chat_server import (
    Answer,
    Call,
    ChatServer,
    Hang,
    Piece,
    Raw,
    Sleep,
    Text,
    answer,
    chat_server,
    refusal,
)
from tests.fakes.ports import lasting_port
from tests.speech.language_model.replies import options
from tests.speech.local_model import model_server
from tests.speech.talk import Caller, calls_of, client_for, words_of

pytestmark = [pytest.mark.asyncio, pytest.mark.speech]

Event = dict[str, Any]
TIMER = {
    "type": "function",
    "name": "set_timer",
    "description": "Set a timer.",
    "parameters": {
        "type": "object",
        "properties": {"minutes": {"type": "integer"}},
        "required": ["minutes"],
    },
}


@pytest_asyncio.fixture
async def server() -> AsyncIterator[ChatServer]:
    async with chat_server() as server:
        yield server


@asynccontextmanager
async def _call(
    engines: Engines, base_url: str, *, fallback: str | None = None, **fields: Any
) -> AsyncIterator[Caller]:
    chosen = SessionOptions(
        language_model=options(base_url, **({"filler_after_s": None} | fields)),
        fallback_language_model=None if fallback is None else options(fallback, model="second"),
    )
    async with (
        model_server(engines, SpeechSettings(options=chosen)) as (_, port),
        client_for(port) as client,
        client.realtime.connect(model="parley-local") as connection,
    ):
        caller = Caller(connection)
        await caller.until("session.created")
        yield caller
        await caller.hang_up()


async def _ask(caller: Caller, words: str) -> Event:
    await caller.say_text(words)
    await caller.send(type="response.create")
    return await caller.until("response.done")


def _said(*notices: Notice) -> str:
    return " ".join(notice_text(notice, "en") for notice in notices)


FAULTS: dict[str, tuple[list[Answer], Notice]] = {
    "unknown model": ([refusal(404, "model not found")], "refused"),
    "overload, twice": ([refusal(503, "overloaded")] * 2, "unavailable"),
    "filtered": ([answer(finish_reason="content_filter")], "empty"),
    "web page": ([Answer(body="<html>Hello</html>", is_whole=True)], "invalid"),
    "bad request": ([refusal(400, "no")], "invalid"),
    "unknown tool, twice": ([answer(Call("brew"))] * 2, "invalid"),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_fault_before_the_first_word_is_said(
    engines: Engines, server: ChatServer, fault: str
) -> None:
    script, notice = FAULTS[fault]
    server.script.extend(script)
    async with _call(engines, server.base_url) as caller:
        await caller.send(type="session.update", session={"type": "realtime", "tools": [TIMER]})
        done = await _ask(caller, "How are you?")
        assert words_of(done) == _said(notice)
        assert done["response"]["status"] == "completed"
        assert done["response"]["status_details"]["error"]["code"] == f"language_model_{notice}"
        assert any(event["type"] == "response.output_audio.delta" for event in caller.events)
        assert server.script == type(server.script)(), "as many requests as stated"
        # The conversation goes on, and the model never reads the notice as words of its own.
        assert words_of(await _ask(caller, "Again?")) == "You said: How are you? Again?"


async def test_a_server_that_is_not_there(engines: Engines) -> None:
    base_url = f"http://127.0.0.1:{lasting_port('127.0.0.1')}/v1"
    async with _call(engines, base_url) as caller:
        assert words_of(await _ask(caller, "How are you?")) == _said("unavailable")


async def test_an_error_in_the_middle_is_said_after_what_there_was(
    engines: Engines, server: ChatServer
) -> None:
    error = Raw(b'data: {"error": {"message": "CUDA error"}}\n\n')
    server.script.append(answer("The sea is calm today. And the", error))
    async with _call(engines, server.base_url) as caller:
        done = await _ask(caller, "How is the sea?")
    assert words_of(done).startswith("The sea is calm today. ")
    assert words_of(done).endswith(_said("lost"))
    assert done["response"]["status"] == "incomplete"


async def test_an_endless_answer_ends(engines: Engines, server: ChatServer) -> None:
    words: list[Piece] = [Text("Yes and no. "), Sleep(0.01)] * 4_000
    server.script.append(answer(*words))
    async with _call(engines, server.base_url, max_reply_tokens=4) as caller:
        done = await _ask(caller, "Yes or no?")
    assert done["response"]["status_details"]["reason"] == "max_output_tokens"
    assert words_of(done).startswith("Yes and no. Yes and no.")


async def test_the_caller_hears_that_an_answer_is_coming(
    engines: Engines, server: ChatServer
) -> None:
    go_on = asyncio.Event()
    server.script.append(Answer(["Here it is."], wait_before=go_on))
    async with _call(engines, server.base_url, filler_after_s=0.2) as caller:
        await caller.say_text("Well?")
        await caller.send(type="response.create")
        filler = await caller.until("response.output_audio_transcript.done")
        assert filler["transcript"] == _said("filler")
        go_on.set()
        done = await caller.until("response.done")
    assert words_of(done) == f"{_said('filler')} Here it is."


async def test_the_fallback_answers_instead(engines: Engines, server: ChatServer) -> None:
    async with (
        chat_server(model="second") as second,
        _call(engines, server.base_url, fallback=second.base_url) as caller,
    ):
        server.script.append(refusal(503, "overloaded"))
        server.script.append(refusal(503, "overloaded"))
        assert words_of(await _ask(caller, "One")) == "You said: One"
        assert words_of(await _ask(caller, "Two")) == "You said: Two"
        assert (len(server.calls), len(second.calls)) == (2, 2)


async def test_a_conversation_with_tools_memory_and_an_interruption(
    engines: Engines, server: ChatServer
) -> None:
    async with _call(engines, server.base_url) as caller:
        tools = {"type": "realtime", "instructions": "Be kind.", "tools": [TIMER]}
        await caller.send(type="session.update", session=tools)
        server.script.append(answer("Sure. ", Call("SetTimer", "{'minutes': '5',}", deltas=3)))
        done = await _ask(caller, "Set a timer.")
        (call,) = calls_of(done)
        assert (call["name"], json.loads(call["arguments"])) == ("set_timer", {"minutes": 5})
        output = {"type": "function_call_output", "call_id": call["call_id"], "output": "done"}
        await caller.send(type="conversation.item.create", item=output)

        server.script.append(answer("Your timer runs for five minutes from now on.", Hang()))
        await caller.send(type="response.create")
        item_id = (await caller.until("response.output_audio.delta"))["item_id"]
        await caller.send(type="response.cancel")
        await caller.until("response.done")
        async with asyncio.timeout(DEADLINE_S):
            await server.calls[1].was_closed.wait()
        await caller.send(
            type="conversation.item.truncate", item_id=item_id, content_index=0, audio_end_ms=0
        )
        await caller.until("conversation.item.truncated")
        assert words_of(await _ask(caller, "Thanks.")) == "You said: Thanks."
        assert words_of(await _ask(caller, "Bye.")) == "You said: Bye."

    first, second, third, fourth = (call.messages for call in server.calls)
    assert first[0]["content"].startswith("Be kind.")
    assert second[: len(first)] == first
    assert [message["role"] for message in second[len(first) :]] == ["assistant", "tool"]
    assert second[-1]["content"] == "done"
    assert third[: len(second)] == second, "of the cut reply nothing was heard"
    assert third[-1] == {"role": "user", "content": "Thanks."}
    assert fourth[: len(third)] == third
    assert CUT_MARK in first[0]["content"]

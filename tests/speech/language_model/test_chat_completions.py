"""The client against a scripted server: replies, and servers' ways of writing them."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import pytest
import pytest_asyncio

from speech.language_model.chat_completions import ChatCompletionsModel
from speech.language_model.protocol import TextDelta, TokenUsage
from tests.fakes.chat_server import (
    Answer,
    Call,
    ChatServer,
    Delta,
    Hang,
    Raw,
    Reasoning,
    Sleep,
    Text,
    Wait,
    answer,
    chat_server,
)
from tests.speech.language_model.replies import TIME, TIMER, options, read, request

pytestmark = pytest.mark.asyncio


@pytest_asyncio.fixture
async def server() -> AsyncIterator[ChatServer]:
    async with chat_server() as server:
        yield server


@pytest_asyncio.fixture
async def model(server: ChatServer) -> AsyncIterator[ChatCompletionsModel]:
    model = ChatCompletionsModel(options(server.base_url))
    yield model
    await model.close()


async def test_text_comes_as_it_is_written(server: ChatServer, model: ChatCompletionsModel) -> None:
    go_on = asyncio.Event()
    server.script.append(answer(Text("Good "), Wait(go_on), Text("day.")))
    async with aclosing(model.stream(request())) as events:
        assert await anext(events) == TextDelta("Good ")
        go_on.set()
        assert await anext(events) == TextDelta("day.")
    assert server.calls[0].body == {
        "model": "scripted",
        "messages": [
            {"role": "system", "content": "Be kind."},
            {"role": "user", "content": "Good day"},
        ],
        "stream": True,
        "stream_options": {"include_usage": True},
    }


async def test_reasoning_that_the_prompt_template_began_is_known_after_one_reply(
    server: ChatServer, model: ChatCompletionsModel
) -> None:
    thinking = (Text("They greet "), Text("me.</th"), Text("ink>\n\nGood"), Text(" day."))
    cut = answer(Text("They greet me, so"), finish_reason="length")
    server.script += [
        answer(*thinking),
        answer(*thinking),
        cut,
        answer(*thinking, Call("get_time")),
    ]
    first, second = await read(model), await read(model)
    assert first.text == "They greet me.</think>\n\nGood day."
    assert second.text == "\n\nGood day."
    assert (await read(model)).kind == "empty"
    calling = await read(model, request("What time is it?", TIME))
    assert (calling.text, calling.calls) == ("\n\nGood day.", [("get_time", "{}")])


async def test_settings_reach_the_server(server: ChatServer) -> None:
    settings = options(
        server.base_url,
        model="scripted",
        api_key="s3cret",
        headers={"X-Team": "blue"},
        temperature=0.5,
        max_reply_tokens=70,
        extra_body={"reasoning_effort": "low"},
    )
    model = ChatCompletionsModel(settings)
    await read(model, request("Hi", TIME, tool_choice="get_time", max_tokens=50))
    await read(model, request("Hi", TIME, tool_choice="required"))
    await model.close()
    first, second = server.calls
    assert first.headers["Authorization"] == "Bearer s3cret"
    assert first.headers["X-Team"] == "blue"
    assert (first.body["temperature"], first.body["max_tokens"]) == (0.5, 50)
    assert first.body["reasoning_effort"] == "low"
    assert first.body["tool_choice"] == {"type": "function", "function": {"name": "get_time"}}
    assert first.tools == [
        {
            "type": "function",
            "function": {
                "name": "get_time",
                "description": "Tell the time.",
                "parameters": {"type": "object", "properties": {"zone": {"type": "string"}}},
            },
        }
    ]
    assert (second.body["tool_choice"], second.body["max_tokens"]) == ("required", 70)


async def test_nothing_of_this_machine_reaches_the_server(
    server: ChatServer, model: ChatCompletionsModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "of-the-environment")
    monkeypatch.setenv("OPENAI_ORG_ID", "of-the-environment")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Own: of-the-environment")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    assert (await read(model)).reason == "stop"
    names = {name.casefold() for name in server.calls[0].headers}
    assert names == {
        *("host", "accept", "accept-encoding", "connection", "content-type", "content-length"),
        "user-agent",
    }


async def test_usage_is_what_the_server_counted(
    server: ChatServer, model: ChatCompletionsModel
) -> None:
    for where in ("last", "with_finish", "every"):
        server.script.append(answer("one two three", usage=where))
        reply = await read(model)
        assert reply.end is not None
        assert reply.end.model == "scripted"
        tokens = server.calls[-1].prompt_tokens
        assert reply.end.usage == TokenUsage(tokens, 1, tokens // 2), where


async def test_usage_is_estimated_where_the_server_does_not_count(
    server: ChatServer, model: ChatCompletionsModel
) -> None:
    server.script.append(answer("one two three", usage="never"))
    reply = await read(model)
    assert reply.end is not None
    assert reply.end.usage.is_estimated
    assert reply.end.usage.input_tokens > 5
    assert reply.end.usage.output_tokens == 4


async def test_connections_are_kept(server: ChatServer, model: ChatCompletionsModel) -> None:
    await read(model)
    await read(model)
    first, second = server.calls
    assert first.peer == second.peer


@pytest.mark.parametrize("has_begun", [False, True])
async def test_closing_a_reply_closes_its_http_stream(
    server: ChatServer, model: ChatCompletionsModel, has_begun: bool
) -> None:
    await read(model)  # imports and connects
    server.script.append(answer(*(["Well"] if has_begun else []), Hang()))
    events = model.stream(request())
    reading = asyncio.ensure_future(anext(events))  # noqa: TID251 - awaited below
    call = await server.wait_for_call(2)
    if has_begun:
        await reading
    closed_at = time.monotonic()
    reading.cancel()
    await asyncio.wait([reading])
    await events.aclose()
    async with asyncio.timeout(10):
        await call.was_closed.wait()
    assert call.closed_at is not None
    # 50 ms are the goal, and about 1 ms is usual; the bound leaves room for a busy machine.
    assert call.closed_at - closed_at < 1.0


DIALECTS = {
    "no role": answer("Good day", has_role_delta=False),
    "no end mark": answer("Good day", has_done=False),
    "no finish reason": answer("Good day", finish_reason=None, has_done=False),
    "unknown finish reason": answer("Good day", finish_reason="eos"),
    "nothing in deltas": answer(Delta({"content": None}), "Good day", Delta({})),
    "comments": answer(Raw(b": keep-alive\n\n"), "Good", Raw(b":\n\n"), " day"),
    "chunks without choices": answer(Raw(b'data: {"choices": []}\n\n'), "Good day"),
    "one byte at a time": answer("Good day", segment_bytes=1),
    "reasoning": answer(Reasoning("Hm"), Reasoning("Hm", "reasoning"), "Good day"),
    "white space first": answer(Text("\n"), Text(" \n Good"), " day"),
    "malformed lines": answer("Good", Raw(b"data: {oops\n\ndata: 5\n\n"), " day"),
    "events and ids": answer(Raw(b"event: ping\nid: 5\nretry: 9\ndata:\n\n"), "Good day"),
    "not UTF-8": answer(Raw(b'data: {"choices": [{"delta": {"x": "\xff"}}]}\n\n'), "Good day"),
    "content in parts": answer(Delta({"content": [{"type": "text", "text": "Good day"}]})),
    "not streamed": Answer(
        status=200,
        body={"choices": [{"message": {"content": "Good day"}, "finish_reason": "stop"}]},
        is_whole=True,
    ),
    "a reason in every chunk": answer(
        Delta({"content": "Good"}, "stop"), Sleep(0.6), Delta({"content": " day"}, "stop")
    ),
    "refusal": answer(Delta({"content": None, "refusal": "Good day"})),
    "open after the end": answer("Good day", Delta({}, "stop"), Hang()),
    "open after the end mark": answer("Good day", Raw(b"data: [DONE]\n\n"), Hang()),
}


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_dialects(server: ChatServer, model: ChatCompletionsModel, dialect: str) -> None:
    server.script.append(DIALECTS[dialect])
    reply = await read(model)
    assert (reply.text, reply.reason, reply.error) == ("Good day", "stop", None)


TWO_CALLS = [("get_time", '{"zone": "UTC"}'), ("set_timer", '{"minutes": 5}')]
ZONE, MINUTES = TWO_CALLS[0][1], TWO_CALLS[1][1]
CALLS = {
    "in pieces": [Call("get_time", ZONE, "a", 0, 4), Call("set_timer", MINUTES, "b", 1, 3)],
    "no index": [Call("get_time", ZONE, "a", None), Call("set_timer", MINUTES, "b", None)],
    "same index": [Call("get_time", ZONE, "a", 0), Call("set_timer", MINUTES, "b", 0)],
    "no ids": [Call("get_time", ZONE, None, 0), Call("set_timer", MINUTES, None, 1)],
    "empty ids": [Call("get_time", ZONE, "", 0), Call("set_timer", MINUTES, "", 1)],
    "equal ids": [Call("get_time", ZONE, "a", 0), Call("set_timer", MINUTES, "a", 1)],
    "objects": [Call("get_time", {"zone": "UTC"}, "a"), Call("set_timer", {"minutes": 5}, "b", 1)],
}


@pytest.mark.parametrize("dialect", CALLS)
@pytest.mark.parametrize("reason", ["tool_calls", "stop", None])
async def test_dialects_of_tool_calls(
    server: ChatServer, model: ChatCompletionsModel, dialect: str, reason: str | None
) -> None:
    server.script.append(answer("One moment.", *CALLS[dialect], finish_reason=reason))
    reply = await read(model, request("Hi", TIME, TIMER))
    assert reply.text == "One moment."
    assert reply.calls == TWO_CALLS
    assert len(set(reply.call_ids)) == 2
    assert reply.reason == "tool_calls"
    assert len(server.calls) == 1


async def test_calls_are_repaired_and_merged(
    server: ChatServer, model: ChatCompletionsModel
) -> None:
    server.script.append(
        answer(
            Call("SetTimer", "{'minutes': '5',}", "a", 0),
            Call("set_timer", '{"minutes": 5}', "b", 1),
        )
    )
    reply = await read(model, request("Hi", TIME, TIMER))
    assert reply.calls == [("set_timer", '{"minutes": 5}')]


async def test_an_unknown_tool_is_answered_to_the_model_once(
    server: ChatServer, model: ChatCompletionsModel
) -> None:
    server.script.append(answer("Let me see.", Call("brew"), Call("get_time", "{}", "b", 1)))
    server.script.append(answer("I look.", Call("get_time", "{}")))
    reply = await read(model, request("Hi", TIME, TIMER))
    assert reply.text == "Let me see. I look."
    assert reply.calls == [("get_time", "{}")]
    _, user, said, problem, not_made = server.calls[1].messages
    assert user == {"role": "user", "content": "Hi"}
    assert said["content"] == "Let me see."
    assert [call["function"]["name"] for call in said["tool_calls"]] == ["brew", "get_time"]
    assert problem["content"] == (
        "Error: There is no tool of this name. Tools: get_time, set_timer."
    )
    assert "Call again" in not_made["content"]
    assert [problem["tool_call_id"], not_made["tool_call_id"]] == [
        call["id"] for call in said["tool_calls"]
    ]
    assert reply.end is not None
    assert reply.end.usage.input_tokens == sum(call.prompt_tokens for call in server.calls)


async def test_a_model_that_insists_on_an_unknown_tool(
    server: ChatServer, model: ChatCompletionsModel
) -> None:
    server.reply_with = lambda call: answer(Call("brew"))
    reply = await read(model, request("Hi", TIME))
    assert (reply.kind, reply.calls) == ("invalid", [])
    assert len(server.calls) == 2
    server.reply_with = lambda call: answer("Well.", Call("brew"))
    reply = await read(model, request("Hi", TIME))
    assert (reply.text, reply.reason) == ("Well. Well.", "stop")
    server.reply_with = lambda call: answer(Call("brew"))
    server.script.append(answer("I look.", Call("brew")))
    reply = await read(model, request("Hi", TIME))
    assert (reply.text, reply.kind) == ("I look.", "invalid"), "words that promise something"


async def test_arguments_that_the_limit_cut_are_not_used(
    server: ChatServer, model: ChatCompletionsModel
) -> None:
    server.script.append(answer(Call("set_timer", '{"minutes": 1'), finish_reason="length"))
    server.script.append(answer(Call("set_timer", '{"minutes": 15}')))
    reply = await read(model, request("Hi", TIMER))
    assert reply.calls == [("set_timer", '{"minutes": 15}')]
    assert "cut off" in server.calls[1].messages[-1]["content"]


async def test_a_model_that_repeats_a_call_is_asked_for_words(
    server: ChatServer, model: ChatCompletionsModel
) -> None:
    call = {"id": "a", "type": "function", "function": {"name": "get_time", "arguments": "{}"}}
    rounds: list[Any] = [
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "a", "content": "8"},
    ]
    asked = request("Hi", TIME)
    asked = replace(asked, messages=[*asked.messages, *rounds * 3])
    server.script.append(answer("It is eight.", Call("get_time")))
    reply = await read(model, asked)
    assert (reply.text, reply.calls, reply.reason) == ("It is eight.", [], "stop")
    assert server.calls[0].body["tool_choice"] == "none"
    server.script.append(answer(Call("get_time")))
    assert (await read(model, asked)).kind == "empty"


async def test_calls_without_tools_are_none(
    server: ChatServer, model: ChatCompletionsModel
) -> None:
    server.script.append(answer("Hi.", Call("get_time")))
    reply = await read(model)
    assert (reply.text, reply.calls, reply.reason) == ("Hi.", [], "stop")


async def test_calls_in_the_text_are_calls(server: ChatServer, model: ChatCompletionsModel) -> None:
    written = '<tool_call>{"name": "set_timer", "arguments": {"minutes": "5"}}</tool_call>'
    server.script.append(answer("One moment.", Text("\n"), written, segment_bytes=40))
    reply = await read(model, request("Hi", TIME, TIMER))
    assert reply.text.strip() == "One moment."
    assert reply.calls == [("set_timer", '{"minutes": 5}')]
    assert reply.reason == "tool_calls"


async def test_a_call_in_the_text_that_cannot_be_read_is_asked_for_again(
    server: ChatServer, model: ChatCompletionsModel
) -> None:
    server.script.append(answer("<tool_call>set_timer, five minutes</tool_call>"))
    server.script.append(answer(Call("set_timer", '{"minutes": 5}')))
    reply = await read(model, request("Hi", TIME, TIMER))
    assert (reply.text, reply.calls) == ("", [("set_timer", '{"minutes": 5}')])


async def test_text_that_only_looks_like_a_call_is_spoken_at_the_end(
    server: ChatServer, model: ChatCompletionsModel
) -> None:
    server.script.append(answer('{"name": "Ann"}'))
    reply = await read(model, request("Hi", TIME))
    assert (reply.text, reply.calls, reply.reason) == ('{"name": "Ann"}', [], "stop")


async def test_sessions_share_a_model(server: ChatServer, model: ChatCompletionsModel) -> None:
    replies = await asyncio.gather(*(read(model, request(str(n))) for n in range(20)))
    assert [reply.text for reply in replies] == [f"You said: {n}" for n in range(20)]


async def test_a_closed_model_can_be_used_again(
    server: ChatServer, model: ChatCompletionsModel
) -> None:
    await read(model)
    go_on = asyncio.Event()
    server.script.append(answer("Good", Wait(go_on), " day"))
    async with aclosing(model.stream(request())) as events:
        await anext(events)
        await model.close()
        go_on.set()
        assert await anext(events) == TextDelta(" day")
    await model.close()
    assert (await read(model)).reason == "stop"


async def test_the_body_is_json_whatever_was_said(
    server: ChatServer, model: ChatCompletionsModel
) -> None:
    said = 'a "quote", ünïcode 漢 \u2028 and \x00'
    reply = await read(model, request(said))
    assert reply.text == f"You said: {said}"
    assert json.loads(json.dumps(server.calls[0].user_text)) == said

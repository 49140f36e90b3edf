"""The real server with the real model, by the official client and by rude ones."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import openai
import pytest
import pytest_asyncio
from openai.types.chat import ChatCompletionChunk

from speech.embedded.model_file import MODEL_NAME
from tests.speech.embedded.serve import SETTINGS

INSTRUCTIONS = "You are a helpful assistant. Answer in one short sentence."
CAPITAL: list[Any] = [
    {"role": "system", "content": INSTRUCTIONS},
    {"role": "user", "content": "What is the capital of France?"},
]
LONG_STORY = [{"role": "user", "content": "Count from one to one thousand in words."}]
TIMER: Any = {
    "type": "function",
    "function": {
        "name": "set_timer",
        "description": "Set a timer.",
        "parameters": {
            "type": "object",
            "properties": {"minutes": {"type": "integer"}},
            "required": ["minutes"],
        },
    },
}
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get the weather in a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}


@pytest_asyncio.fixture
async def client(base_url: str) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=base_url, api_key="none", max_retries=0) as client:
        yield client


@pytest_asyncio.fixture
async def http(narrow_url: str) -> AsyncIterator[aiohttp.ClientSession]:
    headers = {"Authorization": f"Bearer {SETTINGS.api_key}"}
    async with aiohttp.ClientSession(narrow_url.removesuffix("/v1"), headers=headers) as http:
        yield http


async def _chunks(client: openai.AsyncOpenAI, **request: Any) -> list[ChatCompletionChunk]:
    stream = await client.chat.completions.create(
        model=MODEL_NAME,
        stream=True,
        stream_options={"include_usage": True},
        temperature=0,
        **request,
    )
    return [chunk async for chunk in stream]


@pytest.mark.asyncio
async def test_the_official_client_streams_an_answer(client: openai.AsyncOpenAI) -> None:
    assert [model.id async for model in client.models.list()] == [MODEL_NAME]
    chunks = await _chunks(client, messages=CAPITAL)
    deltas = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices]
    assert "Paris" in "".join(delta or "" for delta in deltas)
    assert len([delta for delta in deltas if delta]) > 3
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
    usage = chunks[-1].usage
    assert usage is not None
    assert usage.prompt_tokens > 20
    assert usage.completion_tokens > 3


@pytest.mark.asyncio
async def test_it_answers_in_one_piece_too(client: openai.AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(
        model=MODEL_NAME,
        messages=CAPITAL,
        temperature=0,
        max_completion_tokens=2,
    )
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 2


@pytest.mark.asyncio
async def test_a_second_turn_evaluates_its_own_tokens_only(client: openai.AsyncOpenAI) -> None:
    first = await _chunks(client, messages=CAPITAL, tools=[WEATHER, TIMER])
    said = "".join(c.choices[0].delta.content or "" for c in first if c.choices)
    further = [
        *CAPITAL,
        {"role": "assistant", "content": said},
        {"role": "user", "content": "And of Italy?"},
    ]
    second = await _chunks(client, messages=further, tools=[WEATHER, TIMER])
    before, after = first[-1].usage, second[-1].usage
    assert before is not None
    assert after is not None
    assert after.prompt_tokens_details is not None
    cached = after.prompt_tokens_details.cached_tokens or 0
    # All that was read and written before, but for the tokens where the reply was closed.
    assert cached >= before.prompt_tokens + before.completion_tokens - 3
    timings = second[-1].model_extra["timings"]  # type: ignore[index]
    assert timings["prompt_n"] == after.prompt_tokens - cached
    assert timings["prompt_n"] < 25 < before.prompt_tokens


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "choice", ["required", {"type": "function", "function": {"name": "set_timer"}}]
)
async def test_a_required_call_is_one_of_the_offered_tools(
    client: openai.AsyncOpenAI, choice: Any
) -> None:
    ask = [{"role": "user", "content": "Set a timer for ten minutes."}]
    chunks = await _chunks(client, messages=ask, tools=[WEATHER, TIMER], tool_choice=choice)
    calls = [
        c for chunk in chunks if chunk.choices for c in chunk.choices[0].delta.tool_calls or ()
    ]
    assert len(calls) == 1
    function = calls[0].function
    assert function is not None
    assert function.name == "set_timer"
    assert type(json.loads(function.arguments or "")["minutes"]) is int
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "tool_calls"
    assert chunks[-1].usage is not None


@pytest.mark.asyncio
async def test_a_required_call_in_one_piece(client: openai.AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(
        model=MODEL_NAME,
        messages=[{"role": "user", "content": "What is the weather in Paris?"}],
        tools=[WEATHER],
        tool_choice="required",
        temperature=0,
    )
    assert answer.choices[0].finish_reason == "tool_calls"
    calls = answer.choices[0].message.tool_calls or []
    assert len(calls) == 1
    call = calls[0]
    assert call.type == "function"
    assert call.function.name == "get_weather"
    assert "city" in json.loads(call.function.arguments)


@pytest.mark.asyncio
async def test_a_last_word_of_the_assistant_is_not_gone_on_with(client: openai.AsyncOpenAI) -> None:
    messages = [*CAPITAL, {"role": "assistant", "content": "Wait, I look it up, it is"}]
    chunks = await _chunks(client, messages=messages, max_tokens=24)
    said = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert said
    assert not said.startswith("Wait")


@pytest.mark.asyncio
async def test_the_result_of_a_tool_is_read(client: openai.AsyncOpenAI) -> None:
    call = {
        "id": "call_1",
        "type": "function",
        "function": {"name": "get_weather", "arguments": '{"city": "Paris"}'},
    }
    messages = [
        {"role": "user", "content": "What is the weather in Paris?"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": '{"sky": "snow"}'},
    ]
    chunks = await _chunks(client, messages=messages, tools=[WEATHER], max_tokens=60)
    said = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert "snow" in said.lower()


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "wrong",
    [
        {"messages": []},
        {"messages": "hello"},
        {"messages": CAPITAL, "n": 2},
        {"messages": CAPITAL, "max_tokens": 0},
        {"messages": CAPITAL, "temperature": "hot"},
        {"messages": CAPITAL, "tools": [{"type": "function", "function": {"name": "no name"}}]},
        {"messages": CAPITAL, "tools": [TIMER], "tool_choice": {"type": "x"}},
        {"messages": CAPITAL, "tool_choice": "required"},
        {
            "messages": CAPITAL,
            "tools": [TIMER],
            "tool_choice": {"type": "function", "function": {"name": "other"}},
        },
        {
            "messages": [
                {
                    "role": "user",
                    "content": [{"type": "image_url", "image_url": {"url": "http://127.0.0.1:9"}}],
                }
            ]
        },
        {"messages": [{"role": "user", "content": "word " * 9_000}]},
        {
            "messages": CAPITAL,
            "response_format": {"type": "json_schema", "json_schema": {"schema": {"type": "x"}}},
        },
        [],
    ],
)
async def test_a_wrong_request_is_refused_and_costs_nothing(base_url: str, wrong: Any) -> None:
    async with aiohttp.ClientSession() as http:
        async with http.post(f"{base_url}/chat/completions", json=wrong) as answer:
            assert answer.status == 400
            assert (await answer.json())["error"]["message"]
        async with http.get(f"{base_url.removesuffix('/v1')}/healthz") as answer:
            assert await answer.json() == {"status": "ok", "running": 0, "waiting": 0}


@pytest.mark.asyncio
async def test_pages_and_strangers_are_refused(http: aiohttp.ClientSession) -> None:
    for headers, status in (
        ({"Authorization": "Bearer wrong"}, 401),
        ({"Authorization": ""}, 401),
        ({"Origin": "http://127.0.0.1:8080"}, 403),
        ({"Host": "evil.example"}, 403),
    ):
        async with http.get("/v1/models", headers=headers) as answer:
            assert answer.status == status
    async with http.get("/v1/models") as answer:
        assert answer.status == 200
    async with http.get("/props") as answer:
        assert answer.status == 404


async def _generated(http: aiohttp.ClientSession) -> int | None:
    """Tokens of the answer that llama.cpp is at; None: of none."""
    async with http.get("/slot") as answer:
        count = await answer.json()
        return None if count is None else int(count)


@pytest.mark.asyncio
async def test_a_client_that_leaves_ends_its_generation(http: aiohttp.ClientSession) -> None:
    request = {"messages": LONG_STORY, "stream": True, "max_tokens": 512}
    answer = await http.post("/v1/chat/completions", json=request)
    assert answer.status == 200
    for _ in range(10):
        assert await answer.content.readline()
    at_the_end = await _generated(http)
    assert at_the_end is not None
    answer.close()
    last = at_the_end
    async with asyncio.timeout(30):
        while (count := await _generated(http)) is not None:
            last = count
    # In tokens, not in time: `python -m bench small_model` measures that.
    assert last - at_the_end < 50


@pytest.mark.asyncio
async def test_one_more_than_may_wait_is_refused(http: aiohttp.ClientSession) -> None:
    request = {"messages": LONG_STORY, "stream": True, "max_tokens": 512}
    first = await http.post("/v1/chat/completions", json=request)
    short = {"messages": CAPITAL, "max_tokens": 1, "stream": False}

    async def ask() -> tuple[int, float]:
        async with http.post("/v1/chat/completions", json=short) as answer:
            await answer.read()
            return answer.status, time.monotonic()

    async with asyncio.TaskGroup() as group:
        waiting = []
        for number in range(SETTINGS.max_waiting):
            waiting.append(group.create_task(ask()))
            await _wait_for(http, waiting=number + 1)
        async with http.post("/v1/chat/completions", json=short) as answer:
            assert answer.status == 429
            assert answer.headers["Retry-After"]
        first.close()
    results = [task.result() for task in waiting]
    assert [status for status, _ in results] == [200] * SETTINGS.max_waiting
    # In order of arrival.
    assert results == sorted(results, key=lambda result: result[1])
    assert await _health(http) == {"status": "ok", "running": 0, "waiting": 0}


async def _wait_for(http: aiohttp.ClientSession, waiting: int) -> None:
    async with asyncio.timeout(30):
        while (await _health(http))["waiting"] < waiting:
            pass


async def _health(http: aiohttp.ClientSession) -> dict[str, Any]:
    async with http.get("/healthz") as answer:
        return dict(await answer.json())

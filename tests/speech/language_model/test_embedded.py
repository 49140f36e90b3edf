"""The client with a real model behind a real server: llama.cpp with the packaged weights."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from datetime import UTC, datetime, timedelta

import pytest
import pytest_asyncio

from speech.dialogue.context import Context, Entry, Turn
from speech.language_model.chat_completions import ChatCompletionsModel
from speech.language_model.messages import chat_request
from speech.language_model.protocol import TextDelta
from tests.deadlines import DEADLINE_S
from tests.embedded_llm import embedded_llm
from tests.speech.language_model.replies import TIME, TIMER, Reply, options, read

pytestmark = [pytest.mark.asyncio, pytest.mark.speech]

NOW = datetime(2026, 11, 29, 8, 5, tzinfo=UTC)
INSTRUCTIONS = "You are the friendly host of a small hotel by the sea. " * 6


@pytest.fixture(scope="module")
def base_url() -> Iterator[str]:
    with embedded_llm() as url:
        yield url


@pytest_asyncio.fixture
async def model(base_url: str) -> AsyncIterator[ChatCompletionsModel]:
    settings = options(base_url, model="embedded", temperature=0, max_reply_tokens=40)
    model = ChatCompletionsModel(settings)
    yield model
    await model.close()


async def _answer(
    model: ChatCompletionsModel, history: list[Entry], minute: int, request: str = ""
) -> Reply:
    now = NOW + timedelta(minutes=minute)
    context = Context(
        tuple(history), now, instructions=INSTRUCTIONS, request=request, tools=(TIME,)
    )
    reply = await read(model, chat_request(context))
    assert reply.error is None
    assert reply.end is not None
    assert not reply.end.usage.is_estimated
    return reply


def _evaluated(reply: Reply) -> int:
    """Prompt tokens that the server had to read."""
    assert reply.end is not None
    return reply.end.usage.input_tokens - reply.end.usage.cached_tokens


async def test_later_turns_are_all_that_the_server_reads(model: ChatCompletionsModel) -> None:
    history: list[Entry] = [Turn("user", "Is breakfast served on Sundays?")]
    first = await _answer(model, history, 0)
    assert first.text
    history += [Turn("assistant", first.text.strip()), Turn("user", "And until when?")]
    second = await _answer(model, history, 3)
    assert first.end is not None
    # The question and the marks of its turn; the model's own words are in the cache, too.
    assert _evaluated(second) < 25 < first.end.usage.input_tokens / 4

    # Cut off in the second word: what was not heard is gone, and read anew from there on.
    history += [Turn("assistant", second.text.split()[0], is_cut=True), Turn("user", "Go on.")]
    third = await _answer(model, history, 5, "Answer in five words.")
    assert _evaluated(third) < 50

    # The instructions of a single response were the end of the prompt and cost nothing before it.
    history += [Turn("assistant", third.text.strip()), Turn("user", "Thank you.")]
    fourth = await _answer(model, history, 9)
    assert _evaluated(fourth) < 90


async def test_a_call_with_arguments(model: ChatCompletionsModel) -> None:
    context = Context(
        (Turn("user", "Set a timer for five minutes."),), NOW, tools=(TIMER,), must_call_tool=True
    )
    reply = await read(model, chat_request(context))
    ((name, arguments),) = reply.calls
    assert name == "set_timer"
    assert isinstance(json.loads(arguments)["minutes"], int)
    assert (reply.text, reply.reason) == ("", "tool_calls")


async def test_a_reply_given_up_frees_the_server(model: ChatCompletionsModel) -> None:
    """More of them than the server has places for: each of them ends at once."""
    history: list[Entry] = [Turn("user", "Tell me a very long story about the sea.")]
    asked = chat_request(Context(tuple(history), NOW, instructions=INSTRUCTIONS))
    for _ in range(4):
        async with aclosing(model.stream(asked)) as events:
            async with asyncio.timeout(DEADLINE_S):
                assert isinstance(await anext(events), TextDelta)
    assert (await read(model, asked)).text

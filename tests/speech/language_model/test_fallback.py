"""A second model for the time in which the first one does not answer."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest

from speech.language_model.chat_completions import ChatCompletionsModel
from speech.language_model.create import create_language_model
from speech.language_model.fallback import FallbackLanguageModel
from speech.language_model.protocol import LanguageModel, LanguageModelError, TextDelta
from speech.options import SessionOptions
from tests.fakes.chat_server import Drop, Hang, Reasoning, answer, chat_server, refusal
from tests.speech.language_model.replies import options, read, request
from tests.speech.scripted_model import END, ScriptedModel, Step, words

pytestmark = pytest.mark.asyncio

DOWN = LanguageModelError("unavailable", "first: connection refused")


class _Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def _pair(
    primary: list[list[Step]], fallback: list[list[Step]], after_s: float = 60.0
) -> tuple[FallbackLanguageModel, ScriptedModel, ScriptedModel, _Clock]:
    first, second, clock = ScriptedModel(*primary), ScriptedModel(*fallback), _Clock()
    model = FallbackLanguageModel(first, second, fallback_after_s=after_s, clock=clock)
    return model, first, second, clock


async def _texts(model: LanguageModel, count: int) -> list[str]:
    return [(await read(model)).text for _ in range(count)]


async def test_a_primary_that_answers_is_alone() -> None:
    model, _, second, _ = _pair([words("one")], [words("two")])
    assert await _texts(model, 2) == ["one", "one"]
    assert second.requests == []


async def test_a_primary_that_is_down_is_not_asked_for_a_while() -> None:
    model, first, second, clock = _pair([[DOWN], words("one")], [words("two")])
    assert await _texts(model, 2) == ["two", "two"]
    assert (len(first.requests), len(second.requests)) == (1, 2)
    assert model.is_primary_down
    clock.now += 20
    assert await _texts(model, 2) == ["one", "one"]
    assert not model.is_primary_down


@pytest.mark.parametrize(
    ("error", "down_s"),
    [
        (LanguageModelError("rate_limited", "x", retry_after_s=50), 50),
        (LanguageModelError("rate_limited", "x", retry_after_s=5), 20),
        (LanguageModelError("rate_limited", "x", retry_after_s=9_999), 120),
        (LanguageModelError("refused", "x"), 60),
        (LanguageModelError("invalid", "x"), 0),
        (LanguageModelError("empty", "x"), 0),
    ],
)
async def test_how_long_it_counts_as_down(error: LanguageModelError, down_s: float) -> None:
    model, _, _, clock = _pair([[error], words("one")], [words("two")])
    assert await _texts(model, 1) == ["two"]
    clock.now += down_s - 0.1
    assert model.is_primary_down is (down_s > 0)
    clock.now += 0.2
    assert await _texts(model, 1) == ["one"]


async def test_a_primary_that_keeps_the_caller_waiting() -> None:
    model, first, _, _ = _pair([[asyncio.Event(), "late", END]], [words("two")], after_s=0.05)
    assert await _texts(model, 1) == ["two"]
    assert first.cancelled == [0]
    assert model.is_primary_down


async def test_a_reply_that_has_begun_is_not_begun_again() -> None:
    broken = LanguageModelError("unavailable", "first: the reply broke off")
    model, _, second, _ = _pair([["one", broken], words("next")], [words("two")])
    reply = await read(model)
    assert (reply.text, reply.kind) == ("one", "unavailable")
    assert second.requests == []
    assert not model.is_primary_down


async def test_neither_answers() -> None:
    model, first, second, _ = _pair([[DOWN]], [[LanguageModelError("refused", "second: no")]])
    assert (await read(model)).kind == "refused"
    assert (len(first.requests), len(second.requests)) == (1, 1)
    # With the primary counted as down, the fallback is asked first, and the primary then.
    assert (await read(model)).kind == "unavailable"
    assert (len(first.requests), len(second.requests)) == (2, 2)


async def test_a_primary_that_is_up_again_helps_a_fallback_that_is_down() -> None:
    model, _, _, _ = _pair([[DOWN], words("one")], [words("two"), [DOWN]])
    assert await _texts(model, 2) == ["two", "one"]
    assert not model.is_primary_down


async def test_closing_reaches_the_model_that_answers() -> None:
    model, first, second, _ = _pair([[DOWN]], [["two", asyncio.Event(), END]])
    async with aclosing(model.stream(request())) as events:
        assert await anext(events) == TextDelta("two")
    assert (first.cancelled, second.cancelled) == ([], [0])
    await model.close()
    assert first.is_closed
    assert second.is_closed


async def test_servers_in_trouble() -> None:
    """The same with two servers: the reply names the model that gave it."""
    async with chat_server(model="first") as first, chat_server(model="second") as second:
        model = create_language_model(
            SessionOptions(
                language_model=options(first.base_url, model="first", fallback_after_s=0.5),
                fallback_language_model=options(second.base_url, model="second"),
            )
        )
        assert isinstance(model, FallbackLanguageModel)
        for trouble in (
            refusal(401),
            refusal(429, Retry_After="60"),
            answer(Hang()),
            answer(Reasoning("Hm"), Hang()),
        ):
            model._down_until = None
            first.script.append(trouble)
            reply = await read(model)
            assert (reply.text, reply.end and reply.end.model) == ("You said: Good day", "second")
        model._down_until = None
        first.script.append(answer("Well", Drop()))
        assert (await read(model)).text == "Well"
        await model.close()


async def test_the_name_is_the_primarys() -> None:
    model = FallbackLanguageModel(
        ChatCompletionsModel(options("http://127.0.0.1:9/v1", model="first")),
        ChatCompletionsModel(options("http://127.0.0.1:9/v1", model="second")),
        fallback_after_s=1,
    )
    assert model.name == "first"

"""The language model on transcripts: servers that refuse schemas, answer wrongly, or are away."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from control.after_call.analyst import Analyst
from control.after_call.outcome import NoAnswerError
from speech.options import LanguageModelOptions, SessionOptions
from tests.control.after_call.test_answers import SCHEMA, said
from tests.fakes.chat_server import ChatServer, answer, chat_server, refusal

SAID = [said("my order is number three")]


@asynccontextmanager
async def analysing(**options: Any) -> AsyncIterator[tuple[Analyst, ChatServer]]:
    async with chat_server() as server:
        model = LanguageModelOptions(base_url=server.base_url, model="scripted", **options)
        analyst = Analyst(lambda: SessionOptions(language_model=model))
        try:
            yield analyst, server
        finally:
            await analyst.close()


@pytest.mark.asyncio
async def test_the_schema_is_asked_for_and_what_it_took_is_counted() -> None:
    async with analysing() as (analyst, server):
        server.script += [answer('{"order": 3}')]
        found = await analyst.extract(SAID, SCHEMA)
        (call,) = server.calls
        wanted = call.body["response_format"]
        assert wanted["json_schema"]["schema"] == SCHEMA
        # Not all of its properties are required.
        assert wanted["json_schema"]["strict"] is False
        assert (found.value, found.model) == ({"order": 3}, "scripted")
        assert found.input_tokens == call.prompt_tokens


@pytest.mark.asyncio
async def test_a_closed_schema_is_strict() -> None:
    closed = {
        "type": "object",
        "properties": {"order": {"type": "integer"}},
        "required": ["order"],
        "additionalProperties": False,
    }
    several = {**closed, "properties": {"order": {"type": "array", "items": closed}}}
    async with analysing() as (analyst, server):
        for schema, value in ((closed, '{"order": 3}'), (several, '{"order": [{"order": 3}]}')):
            server.script += [answer(value)]
            assert (await analyst.extract(SAID, schema)).value == json.loads(value)
        wanted = [call.body["response_format"]["json_schema"]["strict"] for call in server.calls]
        assert wanted == [True, True]


@pytest.mark.asyncio
async def test_a_server_that_knows_no_schemas_is_asked_in_words() -> None:
    async with analysing() as (analyst, server):
        server.refuses["response_format"] = "Unknown field: response_format"
        server.script += [answer('Sure:\n```json\n{"order": "3"}\n```')]
        assert (await analyst.extract(SAID, SCHEMA)).value == {"order": 3}
        tried = [call.body.get("response_format", {}).get("type") for call in server.calls]
        assert tried == ["json_schema", "json_object", None]
        # It is remembered.
        server.script += [answer('{"order": 4}')]
        assert (await analyst.extract(SAID, SCHEMA)).value == {"order": 4}
        assert len(server.calls) == 4


@pytest.mark.asyncio
async def test_a_wrong_answer_is_corrected_once() -> None:
    async with analysing() as (analyst, server):
        server.script += [answer('{"order": "third"}'), answer('{"order": 3}')]
        found = await analyst.extract(SAID, SCHEMA)
        assert found.value == {"order": 3}
        first, second = server.calls
        assert "order: type" in second.user_text
        assert second.messages[-2] == {"role": "assistant", "content": '{"order": "third"}'}
        assert found.input_tokens == first.prompt_tokens + second.prompt_tokens
        server.script += [answer("no"), answer("no, really")]
        with pytest.raises(NoAnswerError, match="does not fit: it is no JSON") as caught:
            await analyst.extract(SAID, SCHEMA)
        assert not caught.value.is_passing
        assert len(server.calls) == 4


@pytest.mark.asyncio
async def test_failures_say_whether_they_may_pass() -> None:
    async with analysing() as (analyst, server):
        server.script += [refusal(503, "overloaded"), refusal(503, "overloaded")]
        with pytest.raises(NoAnswerError, match="503") as caught:
            await analyst.summarise(SAID)
        assert caught.value.is_passing
        server.api_key = "another"
        with pytest.raises(NoAnswerError, match="401") as caught:
            await analyst.summarise(SAID)
        assert not caught.value.is_passing
        await server.close()
        with pytest.raises(NoAnswerError, match=r"refused|lost") as caught:
            await analyst.summarise(SAID)
        assert caught.value.is_passing


@pytest.mark.asyncio
async def test_without_words_or_a_model_nobody_is_asked() -> None:
    async with analysing() as (analyst, server):
        with pytest.raises(NoAnswerError, match="nothing was said"):
            await analyst.summarise([said(" ")])
        assert server.calls == []
    nobody = Analyst(SessionOptions)
    with pytest.raises(NoAnswerError, match="LLM_BASE_URL"):
        await nobody.summarise(SAID)


@pytest.mark.asyncio
async def test_a_long_call_fits_the_window() -> None:
    async with analysing(context_tokens=4_096) as (analyst, server):
        server.context_tokens = 4_096
        long = [said(f"sentence {number} " + "and so on " * 20) for number in range(500)]
        await analyst.summarise(long)
        (call,) = server.calls
        assert "earlier lines are missing)" in call.user_text
        assert "sentence 499" in call.user_text
        assert call.prompt_tokens + call.body["max_tokens"] < 4_096
        assert len(json.dumps(call.messages)) > 6_000

"""The scripted model's server, as the local model's own client meets it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import openai
import pytest
import pytest_asyncio

from scenarios.format import Model
from scenarios.scripted_server import AT_END, ScriptedServer

USER: Any = {"role": "user", "content": "hi"}


@pytest_asyncio.fixture
async def server() -> AsyncIterator[ScriptedServer]:
    made = ScriptedServer()
    await made.start()
    yield made
    await made.close()


def _model(*steps: object) -> Model:
    return Model.model_validate({"script": list(steps)})


async def _ask(server: ScriptedServer, name: str, *messages: Any) -> tuple[str, list[Any]]:
    """The text and calls of an answer, read as a stream."""
    text = ""
    calls: list[Any] = []
    async with openai.AsyncOpenAI(
        base_url=server.base_url, api_key="none", max_retries=0
    ) as client:
        stream: Any = await client.chat.completions.create(
            model=name, messages=[USER, *messages], stream=True
        )
        async for chunk in stream:
            delta = chunk.choices[0].delta
            text += delta.content or ""
            calls += [
                (each.function.name, each.function.arguments)
                for each in delta.tool_calls or ()
                if each.function is not None
            ]
    return text, calls


@pytest.mark.asyncio
async def test_words_and_calls_come_as_a_stream(server: ScriptedServer) -> None:
    steps = [{"says": "One moment."}, {"calls": {"name": "look", "arguments": {"at": 7}}}]
    with server.play(_model(*steps)) as (name, script):
        assert await _ask(server, name) == ("One moment.", [])
        said = {"role": "assistant", "content": "One moment."}
        assert await _ask(server, name, said, USER) == ("", [("look", '{"at": 7}')])
        called = {
            "role": "assistant",
            "content": "",
            "tool_calls": [
                {"id": "c", "type": "function", "function": {"name": "look", "arguments": "{}"}}
            ],
        }
        result = {"role": "tool", "tool_call_id": "c", "content": "found"}
        assert (await _ask(server, name, said, USER, called, result))[0] == AT_END
        assert script.past_end == 1
        assert script.steps == {"step 1": 1, "step 2": 1}


@pytest.mark.asyncio
async def test_each_run_has_its_own_script_while_it_lasts(server: ScriptedServer) -> None:
    with server.play(_model({"says": "One."})) as (one, _):
        with server.play(_model({"says": "Two."})) as (two, _):
            assert [await _ask(server, one), await _ask(server, two)] == [
                ("One.", []),
                ("Two.", []),
            ]
        with pytest.raises(openai.NotFoundError):
            await _ask(server, two)
        with pytest.raises(openai.BadRequestError):
            await _ask(server, one, "no message")


@pytest.mark.asyncio
async def test_faults_come_so_often_and_then_the_answer(server: ScriptedServer) -> None:
    steps = {"says": "One two three.", "fault": {"kind": "error", "status": 503, "times": 2}}
    with server.play(_model(steps)) as (name, _):
        for _ in range(2):
            with pytest.raises(openai.InternalServerError):
                await _ask(server, name)
        assert await _ask(server, name) == ("One two three.", [])
    dropped = {"says": "One two three.", "fault": {"kind": "drop", "after_words": 2}}
    with server.play(_model(dropped)) as (name, _):
        # Which error it is depends on how much had been read.
        with pytest.raises((openai.APIError, httpx.HTTPError)):
            await _ask(server, name)
        assert await _ask(server, name) == ("One two three.", [])

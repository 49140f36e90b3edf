"""The scripted chat server, as the official client sees it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from openai import APIStatusError, AsyncOpenAI

from tests.deadlines import DEADLINE_S
from tests.fakes.chat_server import Call, ChatServer, Hang, answer, chat_server, refusal

pytestmark = pytest.mark.asyncio


@pytest_asyncio.fixture
async def server() -> AsyncIterator[ChatServer]:
    async with chat_server() as server:
        yield server


@pytest_asyncio.fixture
async def client(server: ChatServer) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=server.base_url, api_key="x", max_retries=0) as client:
        yield client


async def _stream(client: AsyncOpenAI) -> tuple[str, str, int]:
    """Text, arguments and tokens of an answer."""
    text, arguments, tokens = "", "", 0
    stream = await client.chat.completions.create(
        model="scripted",
        messages=[{"role": "user", "content": "Good day"}],
        stream=True,
        stream_options={"include_usage": True},
    )
    async for chunk in stream:
        if chunk.usage is not None:
            tokens = chunk.usage.total_tokens
        for choice in chunk.choices:
            text += choice.delta.content or ""
            for call in choice.delta.tool_calls or ():
                arguments += (call.function and call.function.arguments) or ""
    return text, arguments, tokens


async def test_it_echoes_without_a_script(server: ChatServer, client: AsyncOpenAI) -> None:
    text, _, tokens = await _stream(client)
    assert text == "You said: Good day"
    assert tokens > 0
    assert server.calls[0].user_text == "Good day"


async def test_it_calls_tools_in_segments(server: ChatServer, client: AsyncOpenAI) -> None:
    server.script.append(answer(Call("get_time", '{"zone":"UTC"}', deltas=3), segment_bytes=7))
    assert (await _stream(client))[1] == '{"zone":"UTC"}'


async def test_it_refuses(server: ChatServer, client: AsyncOpenAI) -> None:
    server.script.append(refusal(429, "slow down", Retry_After="3"))
    with pytest.raises(APIStatusError, match="slow down") as caught:
        await _stream(client)
    assert caught.value.response.headers["retry-after"] == "3"


async def test_it_notes_when_a_client_leaves(server: ChatServer, client: AsyncOpenAI) -> None:
    server.script.append(answer("Well", Hang()))
    reading = asyncio.ensure_future(_stream(client))  # noqa: TID251 - cancelled and awaited here
    call = await server.wait_for_call()
    reading.cancel()
    await asyncio.wait([reading])
    async with asyncio.timeout(DEADLINE_S):
        await call.was_closed.wait()
    assert call.closed_at is not None

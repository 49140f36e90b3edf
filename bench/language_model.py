"""The language model's client: its own delay, how fast an interruption ends a request, and what of a
prompt llama.cpp reads anew with each turn.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Final

from bench.figures import row
from speech.dialogue.context import Context, Entry, Tool, Turn
from speech.language_model.chat_completions import ChatCompletionsModel
from speech.language_model.messages import chat_request
from speech.language_model.protocol import ChatRequest, ReplyEnd, TextDelta
from speech.options import LanguageModelOptions
from tests.embedded_llm import embedded_llm
from tests.fakes.chat_server import ChatServer, Hang, Text, Wait, answer, chat_server

_ROUNDS: Final = 100
_TURNS: Final = 6
_DEADLINE_S: Final = 120.0
_TOOL: Final = Tool("get_time", "Tell the time.", {"type": "object", "properties": {}})
_INSTRUCTIONS: Final = "You are the friendly host of a small hotel by the sea. " * 12


async def rows() -> list[str]:
    """Measure with a scripted server, and with the packaged model."""
    async with asyncio.timeout(_DEADLINE_S), chat_server() as server:
        model = ChatCompletionsModel(
            LanguageModelOptions(base_url=server.base_url, model="scripted")
        )
        try:
            lines = [*await _delays(server, model), *await _cancellation(server, model)]
        finally:
            await model.close()
    return [*lines, *await _evaluated()]


def _request() -> ChatRequest:
    history = [
        Turn("user" if number % 2 == 0 else "assistant", f"This is sentence {number} of a call.")
        for number in range(41)
    ]
    context = Context(tuple(history), datetime.now(UTC), instructions=_INSTRUCTIONS)
    return chat_request(Context(context.history, context.now, tools=(_TOOL,)))


async def _delays(server: ChatServer, model: ChatCompletionsModel) -> list[str]:
    """A request of 41 turns until the server has it; a token from the server to its event."""
    there_ms, back_ms = list[float](), list[float]()
    request = _request()
    for number in range(_ROUNDS + 1):
        go_on = asyncio.Event()
        server.script.append(answer(Wait(go_on), Text("Good")))
        began_s = time.monotonic()
        async with aclosing(model.stream(request)) as events:
            waiting = asyncio.ensure_future(anext(events))  # noqa: TID251 - awaited below
            await server.wait_for_call(len(server.calls) + 1)
            asked_s = time.monotonic()
            go_on.set()
            event = await waiting
            assert event == TextDelta("Good")
            if number:  # the first one imports the client and connects
                there_ms.append((asked_s - began_s) * 1000)
                back_ms.append((time.monotonic() - asked_s) * 1000)
            async for _ in events:
                pass
    return [
        row("language model: request of 41 turns to server", "ms", there_ms),
        row("language model: token to event", "ms", back_ms),
    ]


async def _cancellation(server: ChatServer, model: ChatCompletionsModel) -> list[str]:
    """Closing a reply until the server has seen its connection close."""
    closed_ms = list[float]()
    for _ in range(_ROUNDS):
        server.script.append(answer(Text("Well"), Hang()))
        events = model.stream(_request())
        await anext(events)
        call = server.calls[-1]
        began_s = time.monotonic()
        await events.aclose()
        await call.was_closed.wait()
        closed_ms.append((time.monotonic() - began_s) * 1000)
    return [row("language model: interruption to closed request", "ms", closed_ms)]


async def _evaluated() -> list[str]:
    """Prompt tokens that llama.cpp read in later turns, of how many."""
    with embedded_llm() as base_url:
        options = LanguageModelOptions(
            base_url=base_url, model="embedded", temperature=0, max_reply_tokens=40
        )
        model = ChatCompletionsModel(options)
        try:
            read, whole = await _turns(model)
        finally:
            await model.close()
    return [
        row("later turns: tokens of the prompt", "tokens", whole, digits=0),
        row("later turns: of them read by llama.cpp", "tokens", read, digits=0),
    ]


async def _turns(model: ChatCompletionsModel) -> tuple[list[float], list[float]]:
    read, whole = list[float](), list[float]()
    history: list[Entry] = []
    for number in range(_TURNS):
        history.append(Turn("user", f"Tell me something about room number {number}."))
        context = Context(
            tuple(history), datetime.now(UTC), instructions=_INSTRUCTIONS, tools=(_TOOL,)
        )
        text = ""
        async with aclosing(model.stream(chat_request(context))) as events:
            async for event in events:
                if isinstance(event, TextDelta):
                    text += event.text
                elif isinstance(event, ReplyEnd) and number:
                    whole.append(event.usage.input_tokens)
                    read.append(event.usage.input_tokens - event.usage.cached_tokens)
        history.append(Turn("assistant", text.strip()))
    return read, whole

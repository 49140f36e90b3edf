"""The packaged language model: its figures, and what it gets wrong with tools.

Each question of `small_model_cases` is put to it four ways: free to call, by the official client;
free to call, through the local model's own client, which repairs; made to call one of the tools; made
to call the right one.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Final

import aiohttp
import openai
import psutil  # type: ignore[import-untyped]

from bench.figures import row
from bench.small_model_cases import CASES, Case
from bench.small_model_verdicts import Reply, Verdict, verdict
from control.supervisor.local_model import LANGUAGE_MODEL_COMMAND
from control.supervisor.loopback_server import LoopbackServer
from speech.embedded.model_file import MODEL_NAME
from speech.language_model.create import create_language_model
from speech.language_model.protocol import (
    ChatRequest,
    LanguageModel,
    ReplyEnd,
    TextDelta,
    ToolCallDone,
    ToolCallStarted,
)
from speech.options import LanguageModelOptions, SessionOptions

_INSTRUCTIONS: Final = (
    "You are a voice assistant. Use a tool when it helps. Otherwise answer in one short sentence."
)
_MAX_TOKENS: Final = 120
_ROUNDS: Final = 8


async def rows() -> list[str]:
    """Start the server, measure, ask."""
    began_s = time.monotonic()
    server = LoopbackServer("embedded language model", LANGUAGE_MODEL_COMMAND)
    try:
        await server.wait_ready(60)
        load_ms = (time.monotonic() - began_s) * 1000
        async with openai.AsyncOpenAI(base_url=f"{server.uri}/v1", api_key="none") as client:
            lines = [row("embedded model: start of its process to ready", "ms", [load_ms])]
            lines += await _figures(client, server)
            return [*lines, *await _table(client, f"{server.uri}/v1")]
    finally:
        await server.stop()


async def _figures(client: openai.AsyncOpenAI, server: LoopbackServer) -> list[str]:
    first_ms, cached_ms, speed, evaluated = (
        list[float](),
        list[float](),
        list[float](),
        list[float](),
    )
    for number in range(_ROUNDS):
        messages = _messages(f"Round {number}: why is the sky blue?")
        # The first word differs each time, so that nothing of the prompt is cached.
        messages[0]["content"] = f"{number}. {messages[0]['content']}"
        took_ms, timings, text = await _timed(client, messages)
        first_ms.append(took_ms)
        speed.append(timings["predicted_per_second"])
        messages += [
            {"role": "assistant", "content": text},
            {"role": "user", "content": "And at night?"},
        ]
        took_ms, timings, _ = await _timed(client, messages)
        cached_ms.append(took_ms)
        evaluated.append(timings["prompt_n"])
    assert server.pid is not None
    memory = psutil.Process(server.pid).memory_info().rss / 1e6
    return [
        row("  first turn: request to first token", "ms", first_ms),
        row("  second turn: request to first token", "ms", cached_ms),
        row("  second turn: prompt tokens evaluated", "", evaluated, digits=0),
        row("  tokens per second", "", speed),
        row("  client leaves to generation ended", "ms", await _cancellations(client, server.uri)),
        row("  resident memory", "MB", [memory]),
    ]


def _messages(question: str) -> list[Any]:
    return [
        {"role": "system", "content": _INSTRUCTIONS},
        {"role": "user", "content": question},
    ]


async def _timed(client: openai.AsyncOpenAI, messages: list[Any]) -> tuple[float, Any, str]:
    """Return the time to the first token in ms, llama.cpp's timings, and the text."""
    began_s = time.perf_counter()
    first_ms, timings, text = 0.0, None, ""
    stream = await client.chat.completions.create(
        model=MODEL_NAME, messages=messages, stream=True, max_tokens=40, temperature=0
    )
    async for chunk in stream:
        timings = (chunk.model_extra or {}).get("timings") or timings
        if chunk.choices and chunk.choices[0].delta.content:
            first_ms = first_ms or (time.perf_counter() - began_s) * 1000
            text += chunk.choices[0].delta.content
    return first_ms, timings, text


async def _cancellations(client: openai.AsyncOpenAI, uri: str) -> list[float]:
    """Leave in the middle of answers; return how long the server was then busy, in ms."""
    took = []
    async with aiohttp.ClientSession(uri) as http:
        for _ in range(_ROUNDS):
            stream = await client.chat.completions.create(
                model=MODEL_NAME,
                messages=_messages("Count from one to a thousand in words."),
                stream=True,
                max_tokens=400,
            )
            events = aiter(stream)
            for _ in range(5):
                await anext(events)
            began_s = time.perf_counter()
            await stream.close()
            while await _is_busy(http):
                pass
            took.append((time.perf_counter() - began_s) * 1000)
    return took


async def _is_busy(http: aiohttp.ClientSession) -> bool:
    async with http.get("/healthz") as answer:
        return bool((await answer.json())["running"])


# -- tools --------------------------------------------------------------------------------------


async def _table(client: openai.AsyncOpenAI, base_url: str) -> list[str]:
    needed = [case for case in CASES if case.name]
    columns = {
        f"free to call ({len(CASES)})": await _judged(CASES, partial(_ask, client, None)),
        f"the same, repaired ({len(CASES)})": await _repaired(base_url),
        f"must call one ({len(needed)})": await _judged(needed, partial(_ask, client, "required")),
        f"must call this one ({len(needed)})": await _judged(
            needed, partial(_ask, client, "named")
        ),
    }
    lines = ["", f"| questions | {' | '.join(columns)} |", f"|---|{'---|' * len(columns)}"]
    for kind in Verdict:
        cells = (str(counts[kind] or "") for counts in columns.values())
        lines.append(f"| {kind} | {' | '.join(cells)} |")
    return lines


async def _judged(
    cases: Sequence[Case], ask_one: Callable[[Case], Awaitable[Reply]]
) -> Counter[Verdict]:
    return Counter([verdict(case, await ask_one(case)) for case in cases])


async def _repaired(base_url: str) -> Counter[Verdict]:
    """Ask through the local model's own client."""
    options = LanguageModelOptions(
        base_url=base_url, model=MODEL_NAME, temperature=0, max_reply_tokens=_MAX_TOKENS
    )
    model = create_language_model(SessionOptions(language_model=options))
    assert model is not None
    try:
        return await _judged(CASES, partial(_ask_repairing, model))
    finally:
        await model.close()


async def _ask_repairing(model: LanguageModel, case: Case) -> Reply:
    text, names, calls, is_cut = "", dict[int, str](), list[tuple[str, str]](), False
    request = ChatRequest(_messages(case.question), case.tools)
    async for event in model.stream(request):
        match event:
            case TextDelta():
                text += event.text
            case ToolCallStarted():
                names[event.index] = event.name
            case ToolCallDone():
                calls.append((names[event.index], event.arguments))
            case ReplyEnd():
                is_cut = event.reason == "length"
            case _:
                pass
    return Reply(text, calls, is_cut)


async def _ask(client: openai.AsyncOpenAI, choice: str | None, case: Case) -> Reply:
    tools: Any = [
        {
            "type": "function",
            "function": {
                "name": tool.name,
                "description": tool.description,
                "parameters": tool.parameters,
            },
        }
        for tool in case.tools
    ]
    tool_choice: Any = choice or "auto"
    if choice == "named":
        tool_choice = {"type": "function", "function": {"name": case.name}}
    answer = await client.chat.completions.create(
        model=MODEL_NAME,
        messages=_messages(case.question),
        tools=tools,
        tool_choice=tool_choice,
        max_tokens=_MAX_TOKENS,
        temperature=0,
    )
    message = answer.choices[0].message
    calls = [
        (call.function.name, call.function.arguments)
        for call in message.tool_calls or ()
        if call.type == "function"
    ]
    return Reply(message.content or "", calls, answer.choices[0].finish_reason == "length")

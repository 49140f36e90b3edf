"""Tools of a definition in a conversation: progress, directions, approval, failures, blocked loops."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from parley import Agent, Call, Progress, Result, tool
from session.owner_tools import register_tools
from tests.deadlines import DEADLINE_S
from tool_generators import MAX_PROGRESS
from tools import ToolContext, ToolOutcome

THE_CALL: Any = object()


def tools_of(*declared: Any) -> ToolContext:
    tools = ToolContext()
    register_tools(Agent("orders", tools=declared), tools, THE_CALL)
    return tools


async def run(tools: ToolContext, name: str, spoken: list[str], **arguments: Any) -> ToolOutcome:
    try:
        return await tools.execute_tool(
            "c1", name, json.dumps(arguments), on_progress=spoken.append
        )
    finally:
        await tools.close()


@pytest.mark.asyncio
async def test_plain_and_async_functions_get_the_call() -> None:
    def plain(call: Call, order: int) -> list[Any]:
        assert threading.current_thread() is not threading.main_thread()
        return [call is THE_CALL, order]

    async def waiting(call: Call, order: int) -> list[Any]:
        return [call is THE_CALL, order]

    tools = tools_of(plain, waiting)
    for name in ("plain", "waiting"):
        assert json.loads((await run(tools, name, [], order=3)).output) == [True, 3]


def slow_plain(order: int) -> Iterator[Any]:
    yield Progress("One moment")
    yield "not yet"
    yield Progress("Still looking")
    yield f"order {order}"


async def slow_async(order: int) -> AsyncIterator[Any]:
    yield Progress("One moment")
    await asyncio.sleep(0)
    yield "not yet"
    yield Progress("Still looking")
    yield f"order {order}"


def returning(order: int) -> Any:
    yield Progress("One moment")
    yield Progress("Still looking")
    return f"order {order}"


@pytest.mark.asyncio
@pytest.mark.parametrize("function", [slow_plain, slow_async, returning])
async def test_progress_is_spoken_and_the_last_value_is_the_result(function: Any) -> None:
    spoken: list[str] = []
    outcome = await run(tools_of(function), function.__name__, spoken, order=7)
    assert (outcome.output, spoken) == ("order 7", ["One moment", "Still looking"])


@pytest.mark.asyncio
async def test_progress_is_spoken_while_the_tool_goes_on() -> None:
    is_spoken = threading.Event()

    def looking() -> Any:
        yield Progress("One moment")
        assert is_spoken.wait(DEADLINE_S)
        return "found"

    tools = tools_of(looking)
    outcome = await tools.execute_tool("c1", "looking", "", on_progress=lambda _: is_spoken.set())
    assert outcome.output == "found"


@pytest.mark.asyncio
async def test_a_generator_without_progress_gives_a_list_as_ever() -> None:
    def three() -> Iterator[int]:
        yield from (1, 2, 3)

    async def two() -> AsyncIterator[int]:
        yield 1
        yield 2

    tools, spoken = tools_of(three, two), list[str]()
    assert (await run(tools, "three", spoken)).output == "[1, 2, 3]"
    assert (await run(tools, "two", spoken)).output == "[1, 2]"
    assert spoken == []


@pytest.mark.asyncio
async def test_talkative_tools_are_heard_so_often_only() -> None:
    async def chatter() -> AsyncIterator[Any]:
        for _ in range(MAX_PROGRESS + 5):
            yield Progress("x" * 10_000)

    spoken: list[str] = []
    outcome = await run(tools_of(chatter), "chatter", spoken)
    assert outcome.output == "null"
    assert [len(each) for each in spoken] == [500] * MAX_PROGRESS


@pytest.mark.asyncio
async def test_a_result_may_ask_for_no_reply_and_show_another_text() -> None:
    def note() -> Result:
        return Result({"id": 3}, is_silent=True, shown="Noted.")

    outcome = await run(tools_of(note), "note", [])
    assert (outcome.output, outcome.start_response, outcome.shown) == ('{"id": 3}', False, "Noted.")


def always(call: Call, arguments: dict[str, Any]) -> bool:
    return call is THE_CALL and arguments["amount"] > 100


async def always_async(call: Call, arguments: dict[str, Any]) -> bool:
    return always(call, arguments)


def broken(call: Call, arguments: dict[str, Any]) -> bool:
    raise RuntimeError("secret")


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (always, [True, False, False]),
        (always_async, [True, False, False]),
        (broken, [True, True, False]),
        (True, [True, True, False]),
        (False, [False, False, False]),
    ],
)
async def test_a_function_decides_if_a_call_needs_an_approval(
    rule: Any, expected: list[bool], caplog: pytest.LogCaptureFixture
) -> None:
    @tool(needs_approval=rule)
    def pay(amount: int) -> None: ...

    tools = tools_of(pay)
    # The last cannot run, so nothing has to be approved.
    asked = ['{"amount": 101}', '{"amount": 5}', '{"amount": "much"}']
    assert [await tools.needs_approval("pay", each) for each in asked] == expected
    await tools.close()
    assert ("approval rule of tool pay failed: RuntimeError at" in caplog.text) == (rule is broken)
    assert "secret" not in caplog.text


def deep() -> None:
    json.loads("{")


def failing() -> None:
    deep()


async def failing_async() -> None:
    deep()


def failing_late() -> Any:
    yield Progress("One moment")
    deep()


@pytest.mark.asyncio
@pytest.mark.parametrize("function", [failing, failing_async, failing_late])
async def test_a_failure_names_the_line_of_the_owners_code(
    function: Any, caplog: pytest.LogCaptureFixture
) -> None:
    outcome = await run(tools_of(function), function.__name__, [])
    assert outcome.is_unexpected
    assert outcome.cause.startswith("JSONDecodeError: Expecting")
    line = deep.__code__.co_firstlineno + 1
    assert outcome.place == f"{__file__}:{line}"
    assert f"tool {function.__name__} failed: JSONDecodeError at {__file__}:{line}" in caplog.text


@pytest.mark.asyncio
async def test_a_coroutine_that_blocks_the_loop_is_named(caplog: pytest.LogCaptureFixture) -> None:
    async def block(seconds: float) -> str:
        await asyncio.sleep(0)
        time.sleep(seconds)  # noqa: ASYNC251 - the fault under test
        await asyncio.sleep(0)
        return "done"

    tools = tools_of(block)
    with caplog.at_level(logging.WARNING):
        assert (await run(tools, "block", [], seconds=0.0)).output == "done"
        assert "blocked" not in caplog.text
        assert (await run(tools, "block", [], seconds=0.5)).output == "done"
    (message,) = [each.getMessage() for each in caplog.records if "blocked" in each.getMessage()]
    found = re.search(r"tool block blocked the event loop for (\d+) ms at (.*):(\d+): ", message)
    assert found is not None
    line = block.__code__.co_firstlineno + 2
    assert (int(found[1]) >= 500, found[2], int(found[3])) == (True, __file__, line)


@pytest.mark.asyncio
async def test_a_cancelled_coroutine_is_cancelled_inside() -> None:
    ended = asyncio.Event()

    async def hang() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    tools = tools_of(tool(timeout_s=0.01)(hang))
    outcome = await run(tools, "hang", [])
    assert "no answer within 0.01 seconds" in outcome.output
    await asyncio.wait_for(ended.wait(), 10)

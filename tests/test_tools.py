"""Tools: whatever the model asks for gets an answer, and no tool can end a call."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import json
import logging
import subprocess
import sys
import threading
from collections.abc import Coroutine
from datetime import UTC, datetime
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import AfterValidator, Field

from tool_threads import MAX_THREADS, SWITCH_INTERVAL_S
from tools import MAX_OUTPUT_CHARACTERS, ToolContext, ToolDeclarationError, ToolError
from toolsets import everyday
from toolsets.everyday import MAX_TIMERS, describe_time, find_zone
from toolsets.registry import UnknownToolsetError, build_toolset, toolset_names
from utils import OwnedTasks

SEARCH = {
    "type": "function",
    "name": "search",
    "description": "Search.",
    "parameters": {
        "type": "object",
        "properties": {
            "query": {"type": "string"},
            "limit": {"type": "integer"},
            "order": {"enum": ["new", "old"]},
        },
        "required": ["query"],
        "additionalProperties": False,
    },
}


def add(a: int, b: int = 2) -> int:
    """Plain functions run off the loop."""
    assert threading.current_thread() is not threading.main_thread()
    return a + b


async def greet(name: str) -> dict[str, str]:
    return {"greeting": f"hello {name}"}


async def fail() -> None:
    raise RuntimeError("the secret is 42")


async def refuse() -> None:
    raise ToolError("the shop is closed")


async def hang() -> None:
    await asyncio.Event().wait()


async def flood() -> str:
    return "x" * (MAX_OUTPUT_CHARACTERS + 1)


class Mute:
    def __str__(self) -> str:
        raise RuntimeError("secret")


async def unserializable() -> object:
    return [Mute()]


def quit_now(value: int) -> int:
    raise SystemExit(value)


def context() -> ToolContext:
    tools = ToolContext(client_timeout_s=5)
    tools.register_function("add", "Add.", add)
    tools.register_function("greet", "Greet.", greet)
    tools.register_function("partial", "Greet Ada.", functools.partial(greet, name="Ada"), {})
    for function in (fail, refuse, flood, unserializable):
        tools.register_function(function.__name__, "Go wrong.", function)
    tools.register_function("hang", "Hang.", hang, timeout_s=0.01)
    tools.register_client_function(SEARCH)
    return tools


def error_of(output: str) -> str:
    return str(json.loads(output)["error"])


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("name", "arguments", "output"),
    [
        ("add", '{"a": 40}', "42"),
        ("add", '{"a": 40, "b": 1}', "41"),
        ("greet", '{"name": "Zoë"}', '{"greeting": "hello Zoë"}'),
        ("partial", "", '{"greeting": "hello Ada"}'),
        ("partial", " \n", '{"greeting": "hello Ada"}'),
        ("partial", " null ", '{"greeting": "hello Ada"}'),
    ],
)
async def test_calls_that_fit_are_run(name: str, arguments: str, output: str) -> None:
    outcome = await context().execute_tool("call_1", name, arguments)
    assert (outcome.output, outcome.is_error) == (output, False)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("nothing", "{}", "no such tool"),
        ("add", "{", "not valid JSON"),
        ("add", "[" * 20_000, "not valid JSON"),
        ("add", "[]", "not a JSON object"),
        ("add", " " * 70_000, "too long"),
        ("add", "{}", "argument a: Field required"),
        ("add", '{"a": "many"}', "argument a:"),
        ("add", '{"a": 1, "c": 2}', "argument c:"),
        ("fail", "{}", "failed unexpectedly (RuntimeError)"),
        ("refuse", "{}", "the shop is closed"),
        ("hang", "{}", "no answer within 0.01 seconds"),
        ("flood", "{}", "too long"),
        ("unserializable", "{}", "it ran, but its result cannot be read (RuntimeError)"),
        ("search", "{}", "argument query: required"),
        ("search", '{"query": 1}', "argument query: must be string"),
        ("search", '{"query": "a", "limit": true}', "argument limit: must be integer"),
        ("search", '{"query": "a", "order": "odd"}', "argument order: must be one of"),
        ("search", '{"query": "a", "page": 1}', "argument page: there is no such argument"),
    ],
)
async def test_whatever_goes_wrong_is_told_to_the_model(
    name: str, arguments: str, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        outcome = await context().execute_tool("call_1", name, arguments)
    assert outcome.is_error
    assert words in error_of(outcome.output)
    assert "secret" not in outcome.output + caplog.text


@pytest.mark.asyncio
async def test_client_call_gets_the_clients_answer_once() -> None:
    tools = context()
    async with asyncio.TaskGroup() as group:
        call = group.create_task(tools.execute_tool("call_1", "search", '{"query": "tea"}'))
        await asyncio.sleep(0)
        assert not tools.resolve_client_call("call_2", "not mine")
        assert tools.resolve_client_call("call_1", "green")
        assert not tools.resolve_client_call("call_1", "too late")
    assert (call.result().output, call.result().is_error) == ("green", False)


@pytest.mark.asyncio
async def test_silent_client_gives_an_error_after_the_deadline() -> None:
    tools = ToolContext(client_timeout_s=0.01)
    tools.register_client_function(SEARCH)
    outcome = await tools.execute_tool("call_1", "search", '{"query": "tea"}')
    assert "no answer within" in error_of(outcome.output)
    assert not tools.resolve_client_call("call_1", "too late")


@pytest.mark.asyncio
async def test_calls_under_one_id_are_answered_in_their_order() -> None:
    """Ids are unique within a reply only: an earlier one's call may still wait."""
    tools = context()
    async with asyncio.TaskGroup() as group:
        first = group.create_task(tools.execute_tool("call_1", "search", '{"query": "tea"}'))
        second = group.create_task(tools.execute_tool("call_1", "search", '{"query": "milk"}'))
        await asyncio.sleep(0)
        assert tools.resolve_client_call("call_1", "green")
        assert tools.resolve_client_call("call_1", "white")
        assert not tools.resolve_client_call("call_1", "black")
    assert (first.result().output, second.result().output) == ("green", "white")


@pytest.mark.asyncio
async def test_cancellation_passes_through() -> None:
    tools = ToolContext()
    tools.register_function("hang", "Hang.", hang)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await tools.execute_tool("call_1", "hang", "{}")


ODD_ERRORS: list[BaseException] = [
    asyncio.CancelledError(),
    SystemExit(3),
    KeyboardInterrupt(),
    GeneratorExit(),
    StopIteration(),
    StopAsyncIteration(),
    MemoryError(),
    RecursionError(),
    TimeoutError(),
    BaseExceptionGroup("several", [SystemExit(1)]),
]


class OddToolError(ToolError):
    def __str__(self) -> str:
        raise SystemExit(1)


@pytest.mark.asyncio
@pytest.mark.parametrize("is_async", [True, False])
@pytest.mark.parametrize("error", [*ODD_ERRORS, OddToolError()], ids=lambda e: type(e).__name__)
async def test_whatever_a_tool_raises_is_told(error: BaseException, is_async: bool) -> None:
    async def slowly() -> None:
        await asyncio.sleep(0)
        raise error

    def plainly() -> None:
        raise error

    def through_a_partial(_: int) -> Any:
        return slowly()

    tools = context()
    function = slowly if is_async else plainly
    tools.register_function("odd", "Odd.", function)
    tools.register_function("hidden", "Odd.", functools.partial(through_a_partial, 1), {})
    for name in ("odd", "hidden"):
        async with asyncio.timeout(5):
            outcome = await tools.execute_tool("c", name, "{}")
        assert outcome.is_error
        assert f"{name} failed unexpectedly" in error_of(outcome.output)
        assert outcome.is_unexpected
    assert (await tools.execute_tool("c", "add", '{"a": 1}')).output == "3"


@pytest.mark.asyncio
async def test_a_tool_that_cancels_its_own_task_is_told() -> None:
    async def suicidal() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(0)

    tools = ToolContext()
    tools.register_function("suicidal", "Odd.", suicidal)
    outcome = await tools.execute_tool("c", "suicidal", "{}")
    assert "failed unexpectedly (CancelledError)" in error_of(outcome.output)


@pytest.mark.asyncio
async def test_a_tool_that_does_not_obey_its_timeout_is_told() -> None:
    is_free = asyncio.Event()

    async def stubborn() -> None:
        while not is_free.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await is_free.wait()

    tools = ToolContext()
    tools.register_function("stubborn", "Odd.", stubborn, timeout_s=0.01)
    async with asyncio.timeout(5):
        outcome = await tools.execute_tool("c", "stubborn", "{}")
    assert "no answer within" in error_of(outcome.output)
    is_free.set()
    await tools.close()


@pytest.mark.asyncio
async def test_hints_with_code_of_their_own_cost_the_call_alone() -> None:
    def take(number: Annotated[int, AfterValidator(quit_now)]) -> int:
        return number

    tools = context()
    tools.register_function("take", "Odd.", take)
    outcome = await tools.execute_tool("c", "take", '{"number": 1}')
    assert "take failed unexpectedly (SystemExit)" in error_of(outcome.output)


@pytest.mark.asyncio
async def test_arguments_are_read_as_all_foreign_json_is() -> None:
    def echo(text: str) -> str:
        return text

    tools = context()
    tools.register_function("echo", "Echo.", echo)
    told = await tools.execute_tool("c", "echo", r'{"text": "\ud83d!"}')
    assert told.output == "\ufffd!"
    for odd in ("[" * 2_000, '{"text": ' * 1_000, '"\\ud83d', '{"text": 1e999}', "{" * 60_000):
        outcome = await tools.execute_tool("c", "echo", odd)
        assert outcome.is_error
        assert not outcome.is_unexpected


# -- threads -----------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_hung_plain_tools_take_nothing_that_others_need() -> None:
    is_free = threading.Event()
    tools = ToolContext()
    tools.register_function("stuck", "Hang.", is_free.wait, {}, timeout_s=0.05)
    tools.register_function("quick", "Answer.", lambda: "done", {}, timeout_s=5)
    loop = asyncio.get_running_loop()
    count = MAX_THREADS - 1
    try:
        stuck = [tools.execute_tool(f"c{n}", "stuck", "{}") for n in range(count)]
        outcomes = await asyncio.gather(*stuck)
        assert all("no answer" in error_of(outcome.output) for outcome in outcomes)
        async with asyncio.timeout(5):
            assert (await tools.execute_tool("q", "quick", "{}")).output == "done"
            assert await loop.getaddrinfo("localhost", 443)
        # With the last place taken, a call waits no longer than its timeout.
        await tools.execute_tool("c", "stuck", "{}")
        outcome = await tools.execute_tool("c", "stuck", "{}")
        assert "no answer" in error_of(outcome.output)
    finally:
        is_free.set()
    async with asyncio.timeout(5):
        assert (await tools.execute_tool("q", "quick", "{}")).output == "done"


def test_a_hung_plain_tool_does_not_delay_the_end_of_the_process() -> None:
    code = """
import asyncio, threading
from tools import ToolContext
tools = ToolContext()
tools.register_function("stuck", "Hang.", lambda: threading.Event().wait(), {}, timeout_s=0.05)
print(asyncio.run(tools.execute_tool("c", "stuck", "{}")).output)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=20, check=True
    )
    assert "no answer within" in done.stdout


# -- describing --------------------------------------------------------------------------------


def odd_names(
    _q: str,
    model_config: int,
    model_fields: Annotated[int, Field(ge=1)],
    copy: bool = False,
    json: str = "j",
    field_0: int = Field(default=2, ge=2),
    __dunder__: int = 7,
    self: int = 1,
    cls: int = 1,
    schema: list[int] | None = None,
) -> list[Any]:
    return [_q, model_config, model_fields, copy, json, field_0, __dunder__, self, cls, schema]


@pytest.mark.asyncio
async def test_parameters_may_have_any_name() -> None:
    tools = ToolContext()
    tools.register_function("odd", "Odd.", odd_names)
    parameters = tools.model_description()[0]["parameters"]
    names = list(inspect.signature(odd_names).parameters)
    assert list(parameters["properties"]) == names
    assert parameters["required"] == names[:3]
    arguments: dict[str, Any] = {"_q": "a", "model_config": 1, "model_fields": 2}
    outcome = await tools.execute_tool("c", "odd", json.dumps(arguments))
    assert json.loads(outcome.output) == ["a", 1, 2, False, "j", 2, 7, 1, 1, None]
    more = {"copy": True, "json": "x", "field_0": 3, "__dunder__": 4, "self": 5, "cls": 6}
    outcome = await tools.execute_tool("c", "odd", json.dumps(arguments | more | {"schema": [8]}))
    assert json.loads(outcome.output) == ["a", 1, 2, True, "x", 3, 4, 5, 6, [8]]
    for wrong, words in (
        ({"_q": "a", "model_config": 1}, "argument model_fields: Field required"),
        (arguments | {"model_fields": 0}, "argument model_fields:"),
        (arguments | {"field_0": 1}, "argument field_0:"),
        (arguments | {"field_1": 1}, "argument field_1:"),
    ):
        outcome = await tools.execute_tool("c", "odd", json.dumps(wrong))
        assert words in error_of(outcome.output)


def test_description_is_what_a_session_declares() -> None:
    described = {tool["name"]: tool for tool in context().model_description()}
    assert described["search"] == SEARCH
    assert described["add"] == {
        "type": "function",
        "name": "add",
        "description": "Add.",
        "parameters": {
            "type": "object",
            "properties": {
                "a": {"title": "A", "type": "integer"},
                "b": {"title": "B", "type": "integer", "default": 2},
            },
            "required": ["a"],
            "additionalProperties": False,
        },
    }
    assert context().is_client_function("search")
    assert not context().is_client_function("add")
    assert not context().is_client_function("nothing")


@pytest.mark.parametrize(
    ("declaration", "words"),
    [
        ({"name": "greet"}, "already"),
        ({"name": ""}, "1 to 64"),
        ({"name": "a" * 65}, "1 to 64"),
        ({"name": "rm -rf"}, "1 to 64"),
        ({"name": "good\n"}, "1 to 64"),
        ({"name": 1}, "must be strings"),
        ({"name": "x", "description": None}, "must be strings"),
        ({"name": "x", "type": "mcp"}, "'function'"),
        ({"name": "x", "import": "os"}, "unknown field 'import'"),
        ({"name": "x", "needs_approval": False}, "unknown field 'needs_approval'"),
        ({"name": "x", "parameters": {"type": "string"}}, "type 'object'"),
        ({"name": "x", "parameters": [1]}, "type 'object'"),
        ({"name": "x", "parameters": {"type": "object", "properties": []}}, "properties"),
        ({"name": "x", "parameters": {"type": "object", "required": [1]}}, "required"),
    ],
)
def test_malformed_declarations_are_refused(declaration: dict[str, Any], words: str) -> None:
    with pytest.raises(ToolDeclarationError, match=words):
        context().register_client_function(declaration)


def test_functions_without_a_schema_are_refused() -> None:
    def untyped(a):  # type: ignore[no-untyped-def]
        return a

    def many(*a: int) -> None:
        return None

    def odd(a: threading.Thread) -> None:
        return None

    def by_place(a: int, /) -> int:
        return a

    def rest(**a: int) -> None:
        return None

    for function in (untyped, many, odd, by_place, rest):
        with pytest.raises(ToolDeclarationError):
            ToolContext().register_function("x", "X.", function)


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(
    schema=st.fixed_dictionaries(
        {"type": st.just("object")},
        optional={
            "properties": st.dictionaries(
                st.sampled_from("abc"),
                st.fixed_dictionaries({}, optional={"type": ANY_JSON, "enum": ANY_JSON}),
            ),
            "required": st.lists(st.sampled_from("abc")),
        },
    ),
    arguments=ANY_JSON,
)
def test_no_accepted_schema_makes_a_call_raise(schema: dict[str, Any], arguments: Any) -> None:
    async def accept(**arguments: Any) -> str:
        return "done"

    tools = ToolContext()
    tools.register_function("x", "X.", accept, schema)
    outcome = asyncio.run(tools.execute_tool("call_1", "x", json.dumps(arguments)))
    assert outcome.is_error == (outcome.output != "done")


# -- tool sets ---------------------------------------------------------------------------------


class FakeAgent:
    """Takes the agent's place: keeps what was said, owns tasks."""

    def __init__(self) -> None:
        self.tasks = OwnedTasks(logging.getLogger("test"))
        self.said: asyncio.Queue[str] = asyncio.Queue()
        self.past: list[str] = []

    async def say(self, text: str) -> None:
        await self.said.put(text)

    def start_task(self, coroutine: Coroutine[Any, Any, Any], *, name: str) -> None:
        self.tasks.start(coroutine, name=name)

    def take_past_outputs(self, name: str) -> list[str]:
        assert name == "set_timer"
        return self.past


def test_toolsets_are_known_by_name_only() -> None:
    assert toolset_names() == ["everyday"]
    with pytest.raises(UnknownToolsetError, match="known are: everyday"):
        build_toolset("os.path", FakeAgent())


@pytest.mark.asyncio
async def test_timer_answers_at_once_and_speaks_up_later() -> None:
    agent = FakeAgent()
    tools = build_toolset("everyday", agent)
    outcome = await tools.execute_tool("c", "set_timer", '{"duration_s": 0.01, "label": "tea"}')
    assert json.loads(outcome.output)["status"] == "timer set"
    async with asyncio.timeout(5):
        assert await agent.said.get() == "Your tea timer is done."
    await agent.tasks.close()


@pytest.mark.asyncio
async def test_timers_go_on_in_the_next_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(everyday, "SETTLE_S", 0.01)
    lost = FakeAgent()
    tools = build_toolset("everyday", lost)
    outputs = [
        (await tools.execute_tool("c", "set_timer", json.dumps(arguments))).output
        for arguments in ({"duration_s": 1, "label": "tea"}, {"duration_s": 9000, "label": "cake"})
    ]
    await lost.tasks.close()
    long_ago = {"label": "egg", "rings_at": "2020-01-01T00:00:00+00:00"}
    agent = FakeAgent()
    agent.past = [*outputs, json.dumps(long_ago), '{"error": "no"}', "cut off {", '{"rings_at": 1}']
    build_toolset("everyday", agent)
    assert len(agent.tasks) == 2, "what rang long ago is over"
    async with asyncio.timeout(5):
        assert await agent.said.get() == "Your tea timer is done."
    await agent.tasks.close()


@pytest.mark.asyncio
async def test_timers_are_limited_and_end_with_their_agent() -> None:
    agent = FakeAgent()
    tools = build_toolset("everyday", agent)
    for _ in range(MAX_TIMERS):
        assert not (await tools.execute_tool("c", "set_timer", '{"duration_s": 9000}')).is_error
    outcome = await tools.execute_tool("c", "set_timer", '{"duration_s": 9000}')
    assert "already 20 timers" in error_of(outcome.output)
    await agent.tasks.close()
    assert agent.said.empty()


@pytest.mark.asyncio
@pytest.mark.parametrize("duration_s", ["0", "-1", "86401", '"NaN"', "NaN"])
async def test_impossible_timers_are_refused(duration_s: str) -> None:
    tools = build_toolset("everyday", FakeAgent())
    outcome = await tools.execute_tool("c", "set_timer", f'{{"duration_s": {duration_s}}}')
    assert "argument duration_s" in error_of(outcome.output)


def test_time_is_told_for_zones_and_cities() -> None:
    def clock(zone: ZoneInfo) -> datetime:
        return datetime(2026, 11, 21, 12, 5, tzinfo=UTC).astimezone(zone)

    expected = {
        "zone": "Asia/Tokyo",
        "time": "21:05",
        "date": "21 November 2026",
        "weekday": "Saturday",
    }
    assert describe_time("asia/tokyo", clock=clock) == expected
    assert describe_time("Tokyo", clock=clock) == expected
    assert str(find_zone("new york")) == "America/New_York"


@pytest.mark.parametrize("name", ["Atlantis", "../../etc/passwd", "/etc/localtime", ""])
def test_unknown_zones_are_refused(name: str) -> None:
    with pytest.raises(ToolError, match="IANA"):
        find_zone(name)


def test_missing_zone_data_is_said_plainly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zoneinfo.available_timezones", set)
    with pytest.raises(ToolError, match="install tzdata"):
        find_zone("Europe/Paris")


@pytest.mark.asyncio
async def test_current_time_runs_as_a_tool() -> None:
    outcome = await build_toolset("everyday", FakeAgent()).execute_tool(
        "c", "get_current_time", '{"zone": "Europe/Paris"}'
    )
    assert json.loads(outcome.output)["zone"] == "Europe/Paris"


@pytest.mark.asyncio
async def test_a_thread_of_a_tool_yields_to_the_loop_more_often_than_usual() -> None:
    usual_s = sys.getswitchinterval()
    tools = ToolContext()
    tools.register_function("look", "Look.", sys.getswitchinterval, {})
    outcome = await tools.execute_tool("c1", "look", "")
    assert float(outcome.output) == pytest.approx(min(SWITCH_INTERVAL_S, usual_s), rel=0.01)
    assert sys.getswitchinterval() == usual_s

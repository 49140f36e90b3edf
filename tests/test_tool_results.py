"""What a model is told of what a tool returned."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import json
import math
import threading
import uuid
from collections import OrderedDict, deque, namedtuple
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from tests.deadlines import DEADLINE_S
from tool_functions import MAX_ERROR_CHARACTERS
from tool_results import MAX_OUTPUT_CHARACTERS, UnserializableResultError, is_plain, to_output
from tools import ToolContext, ToolError


class Color(Enum):
    RED = "red"


class Level(IntEnum):
    HIGH = 3


class Word(StrEnum):
    YES = "yes"


class Order(BaseModel):
    number: int
    at: date
    color: Color = Color.RED


@dataclasses.dataclass
class Row:
    number: int
    order: Order | None = None


class Thing:
    def __str__(self) -> str:
        return "a thing"


Point = namedtuple("Point", "x y")


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("as it is", "as it is"),
        ("half \ud83d", "half \ufffd"),
        (None, "null"),
        (True, "true"),
        (3, "3"),
        (Color.RED, "red"),
        (Level.HIGH, "3"),
        (Word.YES, "yes"),
        (Order(number=1, at=date(2026, 1, 2)), {"number": 1, "at": "2026-01-02", "color": "red"}),
        (Row(1), {"number": 1, "order": None}),
        (
            [Row(1, Order(number=2, at=date(2026, 1, 2)))],
            [{"number": 1, "order": {"number": 2, "at": "2026-01-02", "color": "red"}}],
        ),
        (date(2026, 1, 2), '"2026-01-02"'),
        (datetime(2026, 1, 2, 3, tzinfo=UTC), '"2026-01-02T03:00:00Z"'),
        (time(3, 4), '"03:04:00"'),
        ({"for": timedelta(seconds=90)}, {"for": "PT1M30S"}),
        ([Decimal("1.50")], ["1.50"]),
        ([Fraction(1, 2)], ["1/2"]),
        ({1}, [1]),
        (frozenset({"a"}), ["a"]),
        ((1, 2), [1, 2]),
        (Point(1, 2), [1, 2]),
        (deque([1]), [1]),
        (range(2), [0, 1]),
        ((n for n in (1, 2)), [1, 2]),
        ({"a": 1}.keys(), ["a"]),
        (OrderedDict(a=1), {"a": 1}),
        (
            {1: "a", None: "b", (1, 2): "c", Color.RED: "d"},
            {"1": "a", "null": "b", "[1, 2]": "c", "red": "d"},
        ),
        (b"plain", '"plain"'),
        (b"\xff", '"/w=="'),
        (uuid.UUID(int=1), '"00000000-0000-0000-0000-000000000001"'),
        (Path("/a/b"), '"/a/b"'),
        ([math.nan, math.inf, -math.inf], ["nan", "inf", "-inf"]),
        (np.int64(3), "3"),
        (np.float32(0.5), "0.5"),
        ([np.array([1, 2])], [[1, 2]]),
        ({"a": [Thing()]}, {"a": ["a thing"]}),
        ({"halves": ["\ud83d", {"\udc00": 1}]}, {"halves": ["\ufffd", {"\ufffd": 1}]}),
    ],
)
def test_values_are_told(value: object, told: object) -> None:
    text = to_output(value)
    text.encode()
    assert text == told if isinstance(told, str) else json.loads(text) == told


def endless() -> Any:
    return itertools.count()


def circle() -> Any:
    around: list[Any] = []
    around.append(around)
    return around


def deep() -> Any:
    value: Any = 0
    for _ in range(5_000):
        value = {"in": value}
    return value


class Broken:
    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __str__(self) -> str:
        raise self.error


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("make", "words"),
    [
        (endless, "it ran, but its result is too long"),
        (circle, "it ran, but its result is nested too deep"),
        (deep, "it ran, but its result is nested too deep"),
        (lambda: "x" * (MAX_OUTPUT_CHARACTERS + 1), "it ran, but its result is too long"),
        (lambda: {"a": "x" * MAX_OUTPUT_CHARACTERS}, "it ran, but its result is too long"),
        (lambda: 10**5_000, "it ran, but its result cannot be read (ValueError)"),
        (lambda: Broken(SystemExit(3)), "it ran, but its result cannot be read (SystemExit)"),
        (lambda: Broken(KeyboardInterrupt()), "result cannot be read (KeyboardInterrupt)"),
        (lambda: Broken(asyncio.CancelledError()), "result cannot be read (CancelledError)"),
        (lambda: Broken(RuntimeError("secret")), "result cannot be read (RuntimeError)"),
    ],
)
async def test_what_cannot_be_told_is_told_as_done(
    make: Any, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    tools = ToolContext()
    tools.register_function("order", "Order.", make, {})
    with caplog.at_level("INFO"):
        outcome = await tools.execute_tool("c", "order", "{}")
    assert words in json.loads(outcome.output)["error"]
    assert outcome.is_error
    assert "secret" not in caplog.text


ANYTHING = st.recursive(
    st.one_of(
        *(st.none(), st.booleans(), st.integers(), st.floats(), st.binary(max_size=5)),
        st.text(st.characters(), max_size=5),
        *(st.dates(), st.times(), st.datetimes(), st.timedeltas(), st.decimals(), st.uuids()),
        *(st.complex_numbers(), st.fractions(), st.sampled_from([Color.RED, Thing(), object])),
    ),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text() | st.integers() | st.dates(), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(value=ANYTHING)
def test_any_value_is_told_as_text_that_can_be_sent(value: object) -> None:
    text = to_output(value)
    text.encode()
    if not isinstance(value, str | Enum):
        json.loads(text)


class Held:
    """A value whose code takes as long as a test wants."""

    def __init__(self) -> None:
        self.may_go_on = threading.Event()

    def __str__(self) -> str:
        self.may_go_on.wait(DEADLINE_S)
        return "told at last"

    def __iter__(self) -> Iterator[str]:
        yield str(self)


@pytest.mark.asyncio
@pytest.mark.parametrize("wrap", [lambda held: held, lambda held: [held], iter, lambda h: {"a": h}])
@pytest.mark.parametrize("is_plain_function", [True, False])
async def test_a_value_that_takes_its_time_delays_nobody(
    wrap: Callable[[Held], Any], is_plain_function: bool
) -> None:
    held, tools = Held(), ToolContext()

    async def later() -> Any:
        return wrap(held)

    function = (lambda: wrap(held)) if is_plain_function else later
    tools.register_function("held", "d", function, {"type": "object"})
    tools.register_function("quick", "d", lambda: "done", {"type": "object"})
    async with asyncio.TaskGroup() as tasks:
        call = tasks.create_task(tools.execute_tool("c", "held", "{}"))
        assert (await tools.execute_tool("d", "quick", "{}")).output == "done"
        assert not call.done()
        held.may_go_on.set()
    assert "told at last" in call.result().output
    await tools.close()


@pytest.mark.asyncio
async def test_what_is_returned_to_be_awaited_is_awaited() -> None:
    tools = ToolContext()

    async def inner() -> str:
        return "inner"

    async def gives_coroutine() -> Any:
        return inner()

    async def gives_many() -> AsyncIterator[int]:
        yield 1
        yield 2

    async def has_no_end() -> AsyncIterator[int]:
        while True:
            yield 1

    async def breaks() -> AsyncIterator[int]:
        yield 1
        raise SystemExit(3)

    for function in (gives_coroutine, gives_many, has_no_end, breaks):
        tools.register_function(function.__name__, "d", function, {"type": "object"})

    async def told(name: str) -> str:
        return (await tools.execute_tool("c", name, "{}")).output

    assert await told("gives_coroutine") == "inner"
    assert json.loads(await told("gives_many")) == [1, 2]
    assert "too long" in await told("has_no_end")
    assert "failed unexpectedly (SystemExit)" in await told("breaks")
    await tools.close()


@pytest.mark.asyncio
async def test_the_text_of_an_error_is_bounded() -> None:
    tools = ToolContext()

    def fails() -> None:
        raise ToolError("x" * 1_000_000)

    tools.register_function("fails", "d", fails)
    outcome = await tools.execute_tool("c", "fails", "{}")
    assert json.loads(outcome.output)["error"] == "x" * MAX_ERROR_CHARACTERS
    await tools.close()


def test_a_file_is_not_read_to_its_end() -> None:
    with Path("/dev/zero").open("rb") as endless:
        assert "/dev/zero" in to_output(endless)


@pytest.mark.parametrize("value", [["x" * 20_000] * 4, ["x", "y" * 70_000], "x" * 10_000_000])
def test_long_texts_are_refused_and_never_shortened(value: Any) -> None:
    with pytest.raises(UnserializableResultError, match="too long"):
        to_output(value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"a": [1, (None, True, 1.5)], "b": {}}, True),
        ("text", True),
        ([Word.YES], False),
        ({1: 2}, False),
        ([0] * 2_000, False),
        (OrderedDict(), False),
        (iter([]), False),
    ],
)
def test_plain_is_little_and_of_jsons_types(value: Any, expected: bool) -> None:
    assert is_plain(value) is expected

"""Tool calls as small models get them wrong."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speech.dialogue.context import Tool
from speech.language_model.call_assembly import AssembledCall
from speech.language_model.schema_coercion import coerced_arguments
from speech.language_model.tool_repair import (
    BrokenCall,
    RepairedCall,
    matching_tool,
    parsed_arguments,
    repaired_call,
    repaired_calls,
    repeated_rounds,
)

TIMER = Tool(
    "set_timer",
    "Set a timer.",
    {
        "type": "object",
        "properties": {"minutes": {"type": "integer"}, "label": {"type": "string"}},
        "required": ["minutes"],
    },
)
TOOLS = (TIMER, Tool("get_time"), Tool("getWeather"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"a": 1}', {"a": 1}),
        ("", {}),
        (" ", {}),
        ("null", {}),
        ('{"a": 1,}', {"a": 1}),
        ("{'a': 'x'}", {"a": "x"}),
        ("{a: 1}", {"a": 1}),
        ('{"a": True, "b": None, "c": False}', {"a": True, "b": None, "c": False}),
        ('```json\n{"a": 1}\n```', {"a": 1}),
        ('Sure: {"a": 1}', {"a": 1}),
        ('{"a": 1', {"a": 1}),
        ('{"a": [1, 2', {"a": [1, 2]}),
        ('"{\\"a\\": 1}"', {"a": 1}),
        ('{"a": 1} // done', {"a": 1}),
        ("{“a”: 1}", {"a": 1}),
        # No object, or not all of it.
        ('{"a": "Dear Bo', None),
        ('{"a": NaN}', None),
        ("hello", None),
        ("[1]", None),
        ("3", None),
        ('{"a":' * 3_000, None),
        ("{a: " + "x" * 20_000, None),
    ],
)
def test_arguments(text: str, expected: Any) -> None:
    assert parsed_arguments(text) == expected


def test_arguments_that_the_token_limit_cut_are_never_completed() -> None:
    assert parsed_arguments('{"a": 1', is_cut=True) is None
    assert parsed_arguments('{"a": 1}', is_cut=True) == {"a": 1}


@given(st.text(alphabet="{}[]\",:'\\ab1 \n", max_size=40))
def test_any_text_gives_a_json_object_or_none(text: str) -> None:
    parsed = parsed_arguments(text)
    assert parsed is None or isinstance(json.loads(json.dumps(parsed, allow_nan=False)), dict)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("set_timer", "set_timer"),
        ("SetTimer", "set_timer"),
        ("set-timer", "set_timer"),
        ("setTimer ", "set_timer"),
        ("functions.set_timer", "set_timer"),
        ("default_api:get_time", "get_time"),
        ("get_weather", "getWeather"),
        ("settimers", None),
        ("start_timer", None),
        ("", None),
        ("_", None),
    ],
)
def test_names(name: str, expected: str | None) -> None:
    tool = matching_tool(name, TOOLS)
    assert (tool and tool.name) == expected


def test_a_name_that_resembles_two_tools_is_none_of_them() -> None:
    two = (Tool("a_b"), Tool("aB"))
    assert matching_tool("AB", two) is None
    assert matching_tool("aB", two) == two[1]


def _property(schema: Any, value: Any) -> Any:
    coerced = coerced_arguments({"x": value}, {"properties": {"x": schema}, "required": ["x"]})
    return coerced["x"]


NUMBERS = {"type": "array", "items": {"type": "number"}}
INNER = {"type": "object", "properties": {"n": {"type": "integer"}}}


@pytest.mark.parametrize(
    ("schema", "value", "expected"),
    [
        ({"type": "integer"}, "5", 5),
        ({"type": "integer"}, " -5.0 ", -5),
        ({"type": "integer"}, 5.0, 5),
        ({"type": "integer"}, "five", "five"),
        ({"type": "integer"}, "5.5", "5.5"),
        ({"type": "integer"}, True, True),
        ({"type": "number"}, "2.5", 2.5),
        ({"type": "number"}, "nan", "nan"),
        ({"type": "boolean"}, "Yes", True),
        ({"type": "boolean"}, "false", False),
        ({"type": "boolean"}, 0, False),
        ({"type": "boolean"}, "maybe", "maybe"),
        ({"type": "string"}, 5, "5"),
        ({"type": "string"}, True, "true"),
        ({"type": "string"}, None, None),
        ({"type": ["string", "null"]}, None, None),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, "7", 7),
        ({"type": "string", "enum": ["left_side", "right_side"]}, "Left side", "left_side"),
        ({"enum": ["a", "A"]}, "ä", "ä"),
        (NUMBERS, '[1, "2"]', [1, 2.0]),
        (NUMBERS, 3, [3]),
        (NUMBERS, "3", [3.0]),
        (INNER, '{"n": "4"}', {"n": 4}),
        (INNER, {"N": "4"}, {"n": 4}),
        (True, "5", "5"),
        ({"type": 5}, "5", "5"),
    ],
)
def test_values(schema: Any, value: Any, expected: Any) -> None:
    result = _property(schema, value)
    assert result == expected
    assert type(result) is type(expected)


def test_names_of_arguments() -> None:
    schema = {"type": "object", "properties": {"zone_name": {}, "label": {"type": "string"}}}
    assert coerced_arguments({"zoneName": "UTC", "other": 1}, schema) == {
        "zone_name": "UTC",
        "other": 1,
    }
    assert coerced_arguments({"zone_name": "a", "zoneName": "b"}, schema) == {
        "zone_name": "a",
        "zoneName": "b",
    }
    assert coerced_arguments({"arguments": {"label": "x"}}, schema) == {"label": "x"}
    assert coerced_arguments({"label": None}, schema) == {}
    assert coerced_arguments({"label": None}, {**schema, "required": ["label"]}) == {"label": None}


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=3), _VALUES, max_size=4), _VALUES)
def test_any_schema_is_survived(arguments: dict[str, Any], inner: Any) -> None:
    schema = {"properties": dict.fromkeys(arguments, inner), "required": inner}
    json.dumps(coerced_arguments(arguments, schema))


def test_a_good_call_passes_as_it_was_written() -> None:
    call = AssembledCall("set_timer", '{ "minutes":5 }')
    assert repaired_call(call, TOOLS) == RepairedCall("set_timer", '{ "minutes":5 }')


def test_a_nearly_good_call_is_repaired() -> None:
    call = AssembledCall("SetTimer", "{'Minutes': '5',}")
    assert repaired_call(call, TOOLS) == RepairedCall("set_timer", '{"minutes": 5}')


def test_a_missing_argument_is_left_to_the_tool() -> None:
    assert repaired_call(AssembledCall("set_timer", "{}"), TOOLS) == RepairedCall("set_timer", "{}")


def test_broken_calls_say_why() -> None:
    assert repaired_call(AssembledCall("brew", "{}"), TOOLS) == BrokenCall(
        "brew", "There is no tool of this name. Tools: set_timer, get_time, getWeather."
    )
    assert repaired_call(AssembledCall("set_timer", "soon"), TOOLS) == BrokenCall(
        "set_timer", "The arguments are not a JSON object."
    )
    cut = repaired_call(AssembledCall("set_timer", '{"minutes": 5'), TOOLS, is_cut=True)
    assert cut == BrokenCall("set_timer", "The arguments were cut off: make them shorter.")


def test_equal_calls_are_merged() -> None:
    calls = [AssembledCall("get_time", "{}"), AssembledCall("GetTime", ""), AssembledCall("x")]
    assert repaired_calls([*calls, calls[0]], TOOLS, is_cut=False) == [
        RepairedCall("get_time", "{}"),
        repaired_call(calls[2], TOOLS),
    ]


def _round(name: str, arguments: str = "{}") -> list[dict[str, Any]]:
    call = {"id": "a", "type": "function", "function": {"name": name, "arguments": arguments}}
    return [
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "a", "content": "8"},
    ]


def test_rounds_of_the_same_call_are_counted() -> None:
    user = {"role": "user", "content": "Hi"}
    assert repeated_rounds([user]) == 0
    assert repeated_rounds([*_round("f"), user]) == 0
    assert repeated_rounds([user, *_round("f"), *_round("f"), *_round("f")]) == 3
    assert repeated_rounds([user, *_round("f"), *_round("g"), *_round("f")]) == 1
    assert repeated_rounds([*_round("f"), user, *_round("f")]) == 1

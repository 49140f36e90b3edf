"""Tools as owners declare them: the schema that the model gets, the values that arrive, and errors."""

from __future__ import annotations

import dataclasses
import enum
import json
import typing
from typing import TYPE_CHECKING, Annotated, Any, Literal, Optional

import pytest
import typing_extensions
from pydantic import BaseModel, Field

import parley
from parley import Agent, Call, Tool, tool
from parley.tool_definition import ToolDefinitionError
from session.owner_tools import register_tools
from tools import ToolContext

if TYPE_CHECKING:
    from datetime import date as Date  # noqa: N812


class Size(enum.Enum):
    SMALL = "small"
    LARGE = "large"


@dataclasses.dataclass
class Place:
    street: str
    number: int = 1


class Guest(BaseModel):
    name: str = Field(description="As on the list")
    age: int | None = None


class Extra(typing.TypedDict):
    topping: str
    grams: typing.NotRequired[int]


def google(order: int, deep: bool = False) -> str:
    """Look up an order.

    It may take a while.

    Args:
        order (int): Number of the order,
            on the bill.
        deep: Search the archive too.

    Returns:
        Its state.
    """
    return f"{order} {deep}"


def numpy(order: int, width: int, height: int = 2) -> str:
    """Look up an order.

    It may take a while.

    Parameters
    ----------
    order : int
        Number of the order,
        on the bill.
    width, height : int
        Size in cm.

    Returns
    -------
    str
        Its state.
    """
    return f"{order}"


def sphinx(order: int, deep: bool = False) -> str:
    """Look up an order.

    It may take a while.

    :param int order: Number of the order,
        on the bill.
    :param deep: Search the archive too.
    :returns: Its state.
    """
    return f"{order} {deep}"


@pytest.mark.parametrize("function", [google, numpy, sphinx], ids=lambda each: each.__name__)
def test_descriptions_come_from_docstrings_of_three_styles(function: Any) -> None:
    declared = tool(function)
    assert declared.text == "Look up an order.\n\nIt may take a while."
    properties = declared.schema.parameters["properties"]
    assert properties["order"]["description"] == "Number of the order, on the bill."
    others = {each["description"] for name, each in properties.items() if name != "order"}
    assert others in ({"Search the archive too."}, {"Size in cm."})
    assert declared.schema.parameters["required"][0] == "order"


def test_a_description_in_a_hint_goes_before_the_docstrings() -> None:
    def find(key: Annotated[str, Field(description="From the hint")], other: str = "") -> None:
        """Find.

        Args:
            key: from the docstring
            other: also
        """

    properties = tool(find).schema.parameters["properties"]
    assert properties["key"]["description"] == "From the hint"
    assert properties["other"]["description"] == "also"


def order_all(
    call: Call,
    size: Size,
    kind: Literal["thin", "thick"],
    place: Place,
    guests: list[Guest],
    extra: Extra,
    notes: dict[str, int],
    tip: Optional[float] = None,  # noqa: UP045 - owners write it
    count: Annotated[int, Field(ge=1, le=9)] = 1,
) -> dict[str, Any]:
    return {"call": call, "all": (size, kind, place, guests, extra, notes, tip, count)}


ARGUMENTS = {
    "size": "large",
    "kind": "thin",
    "place": {"street": "Main"},
    "guests": [{"name": "Ann"}, {"name": "Bob", "age": 3}],
    "extra": {"topping": "ham"},
    "notes": {"a": 1},
}


def test_values_arrive_as_the_hinted_python_objects() -> None:
    schema = tool(order_all).schema
    assert set(schema.parameters["properties"]) == {*ARGUMENTS, "tip", "count"}
    assert set(schema.parameters["required"]) == set(ARGUMENTS)
    values = schema.read(json.loads(json.dumps(ARGUMENTS)))
    assert values == {
        "size": Size.LARGE,
        "kind": "thin",
        "place": Place("Main"),
        "guests": [Guest(name="Ann"), Guest(name="Bob", age=3)],
        "extra": {"topping": "ham"},
        "notes": {"a": 1},
        "tip": None,
        "count": 1,
    }


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"count": 10}, "count"),
        ({"kind": "soggy"}, "kind"),
        ({"place": {}}, "place.street"),
        ({"guests": [{"name": 3}]}, "guests.0.name"),
        ({"extra": {"grams": 3}}, "extra.topping"),
        ({"call": {}}, "call"),
    ],
)
def test_a_wrong_argument_is_named(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=f"argument {words}"):
        tool(order_all).schema.read(ARGUMENTS | change)


class Odd:
    pass


def odd(fine: int, wrong: Odd) -> None: ...


def bare(fine: int, wrong) -> None: ...  # type: ignore[no-untyped-def]


def unknown(fine: int, wrong: Date) -> None: ...


def spread(fine: int, *wrong: int) -> None: ...


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (odd, "parameter 'wrong': no JSON Schema follows from the type hint"),
        (bare, "parameter 'wrong': it has no type hint"),
        (unknown, "'Date' is not defined"),
        (spread, "parameter 'wrong': it cannot be given by name"),
    ],
)
def test_an_error_names_tool_parameter_file_and_line(function: Any, words: str) -> None:
    line = function.__code__.co_firstlineno
    with pytest.raises(ToolDefinitionError, match=words) as failure:
        register_tools(Agent("orders", tools=[function]), ToolContext())
    assert f"tool {function.__name__}: " in str(failure.value)
    assert (failure.value.file, failure.value.line) == (__file__, line)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"name": "a b"}, "names are"),
        ({"timeout_s": 0}, "timeout_s"),
        ({"needs_approval": "yes"}, "needs_approval"),
        ({"parameters": {"type": "array"}}, "'object'"),
    ],
)
def test_a_wrong_option_is_named(options: dict[str, Any], words: str) -> None:
    declared = tool(**options)(google)
    with pytest.raises(ToolDefinitionError, match=words):
        declared.check()


def test_other_things_among_the_tools_are_refused() -> None:
    with pytest.raises(ValueError, match="agent orders: tools: 3 is no function"):
        register_tools(Agent("orders", tools=[3]), ToolContext())


def hinted(first: Call, order: int) -> None: ...
def qualified(first: parley.Call, order: int) -> None: ...
def quoted(first: "Call", order: int) -> None: ...  # noqa: UP037
def named(call, order: int) -> None: ...  # type: ignore[no-untyped-def]
def second(order: int, call: Call) -> None: ...
def other(call: int, order: int) -> None: ...


@pytest.mark.parametrize(
    ("function", "takes_call"),
    [(hinted, True), (qualified, True), (quoted, True), (named, True), (other, False)],
)
def test_the_first_parameter_gets_the_call(function: Any, takes_call: bool) -> None:
    declared = tool(function)
    assert declared.takes_call is takes_call
    expected = {"order"} if takes_call else {"call", "order"}
    assert set(declared.schema.parameters["properties"]) == expected


def test_a_call_that_is_not_the_first_parameter_is_refused() -> None:
    with pytest.raises(ToolDefinitionError, match="parameter 'call'"):
        tool(second).check()


def test_typed_dicts_of_both_kinds_are_read() -> None:
    class Other(typing_extensions.TypedDict):
        name: str

    def take(one: list[Extra], two: Other | None = None) -> None: ...

    take.__annotations__ = {"one": list[Extra], "two": Other | None}
    schema = tool(take).schema
    assert schema.read({"one": [{"topping": "x", "grams": 2}]})["one"] == [
        {"topping": "x", "grams": 2}
    ]


def test_methods_and_objects_are_tools_too() -> None:
    class Shop:
        def find(self, call: Call, key: str) -> str:
            """Find it."""
            return key

        def __call__(self, key: str) -> str:
            return key

    shop = Shop()
    method, thing = tool(shop.find), tool(shop)
    assert isinstance(method, Tool)
    assert (method.name, method.takes_call, method.text) == ("find", True, "Find it.")
    assert thing.name == "Shop"
    for each in (method, thing):
        each.check()
        assert set(each.schema.parameters["properties"]) == {"key"}

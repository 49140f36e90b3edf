"""JSON schemas of extractions: what is supported, and what is refused with its place."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from config.extraction import KEYWORDS, MAX_DEPTH, ExtractionSchema, check_schema


class Item(BaseModel):
    name: str = Field(max_length=20)
    count: int = Field(default=1, ge=1)


class Order(BaseModel):
    """An order."""

    number: int | None = None
    kind: str = Field(examples=["new"], pattern=r"^[a-z]+$")
    total: Decimal = Decimal(0)
    day: date | None = None
    state: Literal["open", "paid"] = "open"
    items: list[Item] = Field(default=[], max_length=9)
    tags: dict[str, str] = {}


def nested(depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(depth):
        schema = {"type": "array", "items": schema}
    return {"type": "object", "properties": {"a": schema}}


def growing(steps: int) -> dict[str, Any]:
    """A short schema that stands for a very large one."""
    named: dict[str, Any] = {"d0": {"type": "string"}}
    for step in range(1, steps):
        named[f"d{step}"] = {"anyOf": [{"$ref": f"#/$defs/d{step - 1}"}] * 4}
    top = {"$ref": f"#/$defs/d{steps - 1}"}
    return {"type": "object", "properties": {"a": top}, "$defs": named}


def of(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


def test_the_schema_of_a_pydantic_model_is_supported() -> None:
    schema = Order.model_json_schema()
    assert check_schema(schema) == schema


@pytest.mark.parametrize(
    ("schema", "problem"),
    [
        ({"type": "array", "items": {}}, "type object"),
        ({"type": "object"}, "properties"),
        (of(a={"type": "text"}), "properties.a.type: no value"),
        (of(a={"type": []}), "properties.a.type: no value"),
        (of(a="string"), "properties: no value"),
        (of(a={"enum": "abc"}), "properties.a.enum: no value"),
        (of(a={"type": "number", "multipleOf": 0}), "multipleOf: no value"),
        (of(a={"maxLength": True}), "maxLength: no value"),
        (of(a={"required": [1]}), "required: no value"),
        (of(a={"anyOf": []}), "anyOf: no value"),
        (of(a={"items": [1]}), "items: no value"),
        (of(a={"type": "object", "patternProperties": {"(a+)+$": {}}}), "properties.a.pattern"),
        (of(a={"$ref": "https://example.org/schema"}), "properties.a.*defs"),
        (of(a={"$ref": "#/$defs/none"}), "properties.a.*defs"),
        (of(a={"$dynamicRef": "#x"}), "not supported"),
        (of(a={"$ref": "#/$defs/x"}) | {"$defs": {"x": of(b={"$ref": "#/$defs/x"})}}, "itself"),
        (nested(MAX_DEPTH), "deeper"),
        (growing(12), "more than 500"),
        (of(**{f"a{n}": {"type": "string"} for n in range(900)}), "more than 500"),
        (of(a={"description": "x" * 40_000}), "larger"),
    ],
)
def test_others_are_refused(schema: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        TypeAdapter(ExtractionSchema).validate_python(schema)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["string", "array", "a"]),
    lambda one: st.lists(one, max_size=3) | st.dictionaries(st.sampled_from(sorted(KEYWORDS)), one),
    max_leaves=20,
)


@given(st.dictionaries(st.sampled_from(sorted(KEYWORDS)), _JSON, max_size=5))
def test_what_is_supported_is_a_json_schema(schema: dict[str, Any]) -> None:
    whole = of(a=schema)
    try:
        check_schema(whole)
    except ValueError:
        return
    # The standard wants entries of `type` and `required` to differ, which harms nobody.
    Draft202012Validator(whole).is_valid({"a": 1})
    Draft202012Validator(whole).is_valid({"a": [1, "x"]})

"""Values of tool arguments fitted to a JSON Schema where their meaning is plain. Pure.

Small models write "5" for 5, "yes" for true, one value for a list of one, `zoneName` for
`zone_name`, or null for what they leave out. Whatever cannot be fitted stays as it is: the tool's
own check then says what is wrong.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

_INTEGER: Final = re.compile(r"[+-]?\d{1,18}(\.0+)?")
_NUMBER: Final = re.compile(r"[+-]?(\d{1,18}(\.\d{1,18})?|\.\d{1,18})([eE][+-]?\d{1,2})?")
_TRUE: Final = frozenset({"true", "yes", "on", "1"})
_FALSE: Final = frozenset({"false", "no", "off", "0"})
_MAX_DEPTH: Final = 16

Schema = Mapping[str, Any]


def coerced_arguments(arguments: Mapping[str, Any], schema: Schema) -> dict[str, Any]:
    """Return the arguments, fitted to the schema of an object."""
    return _object(_unwrapped(arguments, schema), schema, 0)


def _properties(schema: Schema) -> Mapping[str, Any]:
    properties = schema.get("properties")
    return properties if isinstance(properties, Mapping) else {}


def _unwrapped(arguments: Mapping[str, Any], schema: Schema) -> Mapping[str, Any]:
    """Return the inner object of `{"arguments": {...}}` and its kin, if the schema has no such name."""
    if len(arguments) != 1:
        return arguments
    name, inner = next(iter(arguments.items()))
    is_wrapper = name in {"arguments", "parameters", "input", "args", "properties"}
    if is_wrapper and isinstance(inner, Mapping) and name not in _properties(schema):
        return inner
    return arguments


def _object(values: Mapping[str, Any], schema: Schema, depth: int) -> dict[str, Any]:
    properties = _properties(schema)
    required = schema.get("required")
    required = required if isinstance(required, list) else []
    names = {folded(name): name for name in properties}
    fitted: dict[str, Any] = {}
    for given, value in values.items():
        name = given if given in properties else names.get(folded(given), given)
        if name in values and name != given:
            name = given
        inner = properties.get(name)
        if not isinstance(inner, Mapping):
            fitted[name] = value
        elif value is None and name not in required and "null" not in _types(inner):
            continue
        else:
            fitted[name] = _value(value, inner, depth + 1)
    return fitted


def folded(name: str) -> str:
    """Return a name without case, underscores and the like, for comparison."""
    return "".join(letter for letter in name.casefold() if letter.isalnum())


def _types(schema: Schema) -> frozenset[str]:
    """Return the types that a schema allows; empty: it does not say, or says it in a nested way."""
    given = schema.get("type")
    if isinstance(given, str):
        return frozenset({given})
    if isinstance(given, list):
        return frozenset(name for name in given if isinstance(name, str))
    options = schema.get("anyOf") or schema.get("oneOf")
    if not isinstance(options, list):
        return frozenset()
    return frozenset().union(*(_types(one) for one in options if isinstance(one, Mapping)))


def _value(value: Any, schema: Schema, depth: int) -> Any:
    types = _types(schema)
    if depth > _MAX_DEPTH or not types:
        return _one_of(value, schema)
    if any(_is_of(value, name) for name in types):
        return _one_of(_inside(value, schema, depth), schema)
    for name, convert in _CONVERSIONS.items():
        if name in types and (converted := convert(value)) is not None:
            return _one_of(_inside(converted, schema, depth), schema)
    if "array" in types and value not in (None, "") and not isinstance(value, Mapping):
        return _inside([value], schema, depth)
    return value


def _is_of(value: Any, name: str) -> bool:
    match name:
        case "boolean":
            return isinstance(value, bool)
        case "integer":
            return isinstance(value, int) and not isinstance(value, bool)
        case "number":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case "string":
            return isinstance(value, str)
        case "array":
            return isinstance(value, list)
        case "object":
            return isinstance(value, Mapping)
        case _:
            return value is None


def _inside(value: Any, schema: Schema, depth: int) -> Any:
    """Fit what an object or a list holds."""
    if isinstance(value, Mapping):
        return _object(value, schema, depth)
    items = schema.get("items")
    if isinstance(value, list) and isinstance(items, Mapping):
        return [_value(one, items, depth + 1) for one in value]
    return value


def _one_of(value: Any, schema: Schema) -> Any:
    """Return the value of an enumeration that differs in case or underscores only."""
    allowed = schema.get("enum")
    if not isinstance(allowed, list) or not isinstance(value, str) or value in allowed:
        return value
    matches = [one for one in allowed if isinstance(one, str) and folded(one) == folded(value)]
    return matches[0] if len(matches) == 1 else value


def _integer(value: Any) -> int | None:
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    text = value.strip() if isinstance(value, str) else ""
    return int(text.partition(".")[0]) if _INTEGER.fullmatch(text) else None


def _number(value: Any) -> float | None:
    text = value.strip() if isinstance(value, str) else ""
    return float(text) if _NUMBER.fullmatch(text) else None


def _boolean(value: Any) -> bool | None:
    text = str(value).strip().casefold() if isinstance(value, str | int) else ""
    return True if text in _TRUE else False if text in _FALSE else None


def _string(value: Any) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else None


def _parsed(kind: type) -> Callable[[Any], Any]:
    def convert(value: Any) -> Any:
        if not isinstance(value, str) or not value.lstrip().startswith(("[", "{")):
            return None
        try:
            parsed = json.loads(value)
        except (ValueError, RecursionError):
            return None
        return parsed if isinstance(parsed, kind) else None

    return convert


_CONVERSIONS: Final[dict[str, Callable[[Any], Any]]] = {
    "integer": _integer,
    "number": _number,
    "boolean": _boolean,
    "object": _parsed(dict),
    "array": _parsed(list),
    "string": _string,
}

"""JSON schemas of what is extracted from calls: bounds and the supported keywords. Pure.

A schema comes from an owner or a client, and data of a language model are validated by it, so its
work is bounded: no references that recur, a limit on the schemas that it consists of once all
references are followed, and no regular expressions, which may take any time.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, Final

from pydantic import AfterValidator

MAX_SCHEMA_BYTES: Final = 32 * 1024
MAX_DEPTH: Final = 16
MAX_SCHEMAS: Final = 500
"""Of all subschemas, those of references counted wherever they are used."""

_REFERENCE: Final = "#/$defs/"
_TYPES: Final = frozenset({"null", "boolean", "object", "array", "number", "integer", "string"})


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_schema(value: Any) -> bool:
    return isinstance(value, dict | bool)


def _is_type(value: Any) -> bool:
    names = value if isinstance(value, list) else [value]
    return bool(names) and all(isinstance(name, str) and name in _TYPES for name in names)


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


def _is_schemas(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_is_schema, value))


def _is_named_schemas(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_is_schema, value.values()))


_ONE: Final = frozenset({"items", "additionalProperties"})
_SEVERAL: Final = frozenset({"anyOf", "oneOf", "allOf", "prefixItems"})
_NAMED: Final = frozenset({"properties", "$defs"})

# Written out: the schema of schemas takes seconds on the loop for a large one.
_VALUES: Final[Mapping[str, Callable[[Any], bool]]] = {
    "type": _is_type,
    "enum": lambda value: isinstance(value, list),
    **dict.fromkeys(("const", "default"), lambda _value: True),
    "required": _is_texts,
    **dict.fromkeys(("title", "description", "format", "pattern", "$ref", "$schema"), _is_text),
    "examples": lambda value: isinstance(value, list),
    "discriminator": lambda value: isinstance(value, dict),
    **dict.fromkeys(("deprecated", "uniqueItems"), _is_flag),
    **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"), _is_number),
    "multipleOf": lambda value: _is_number(value) and value > 0,
    **dict.fromkeys(("minLength", "maxLength", "minItems", "maxItems"), _is_count),
    **dict.fromkeys(("minProperties", "maxProperties"), _is_count),
    **dict.fromkeys(_ONE, _is_schema),
    **dict.fromkeys(_SEVERAL, _is_schemas),
    **dict.fromkeys(_NAMED, _is_named_schemas),
}

KEYWORDS: Final = frozenset(_VALUES)
"""Supported keywords, by draft 2020-12; `format` and `pattern` are hints for the model and not checked."""


def check_schema(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema if it can be filled.

    Raises:
        ValueError: it cannot; the text names the place.
    """
    _check_depth(schema, MAX_DEPTH)
    if len(json.dumps(schema)) > MAX_SCHEMA_BYTES:
        raise ValueError(f"the schema is larger than {MAX_SCHEMA_BYTES} bytes")
    if schema.get("type") != "object" or not schema.get("properties"):
        raise ValueError("give a JSON schema of type object with properties")
    _Counter(schema.get("$defs") or {}).check(schema)
    return schema


ExtractionSchema = Annotated[dict[str, Any], AfterValidator(check_schema)]


def _check_depth(value: Any, left: int) -> None:
    if left < 0:
        raise ValueError(f"the schema is nested deeper than {MAX_DEPTH} levels")
    children = value.values() if isinstance(value, dict) else value
    if isinstance(value, dict | list):
        for child in children:
            _check_depth(child, left - 1)


class _Counter:
    """Counts the subschemas of a schema, references followed."""

    def __init__(self, named: Mapping[str, Any]) -> None:
        self._named = named
        # Sizes of definitions; None while one is being counted.
        self._sizes: dict[str, int | None] = {}

    def check(self, schema: Mapping[str, Any]) -> None:
        for name in self._named:
            self._size_of_name(name)
        self._size(schema, "")

    def _size(self, schema: Any, place: str) -> int:
        if isinstance(schema, bool):
            return 1
        size = 1
        for keyword, value in schema.items():
            here = f"{place}.{keyword}".strip(".")
            if keyword not in KEYWORDS or (keyword == "$defs" and place):
                raise ValueError(f"{here[:200]}: this keyword is not supported")
            if not _VALUES[keyword](value):
                raise ValueError(f"{here[:200]}: no value that JSON schemas have there")
            if keyword == "$ref":
                size += self._size_of_reference(value, here)
            elif keyword != "$defs":
                size += sum(self._size(one, at) for one, at in _children(keyword, value, here))
        if size > MAX_SCHEMAS:
            raise ValueError(f"the schema consists of more than {MAX_SCHEMAS} schemas")
        return size

    def _size_of_reference(self, reference: object, place: str) -> int:
        name = str(reference).removeprefix(_REFERENCE)
        if not str(reference).startswith(_REFERENCE) or name not in self._named:
            raise ValueError(f"{place[:200]}: references name an entry of $defs of the same schema")
        return self._size_of_name(name)

    def _size_of_name(self, name: str) -> int:
        if name in self._sizes:
            size = self._sizes[name]
            if size is None:
                raise ValueError(f"$defs.{name[:100]}: refers to itself")
            return size
        self._sizes[name] = None
        size = self._sizes[name] = self._size(self._named[name], f"$defs.{name}")
        return size


def _children(keyword: str, value: Any, place: str) -> Iterator[tuple[Any, str]]:
    if keyword in _ONE:
        yield value, place
    elif keyword in _SEVERAL and isinstance(value, list):
        yield from ((one, f"{place}.{index}") for index, one in enumerate(value))
    elif keyword in _NAMED and isinstance(value, Mapping):
        yield from ((one, f"{place}.{name}") for name, one in value.items())

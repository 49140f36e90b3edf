"""The fields of a start request as a form needs them, derived from the request's own JSON schema. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

from pydantic import BaseModel, Field

_LONG_TEXT_CHARACTERS: Final = 500

FieldKind = Literal["text", "long_text", "number", "integer", "boolean", "choice", "json"]


class StartField(BaseModel):
    """One field of a start request.

    json: structured values, written as JSON
    """

    name: str
    kind: FieldKind
    description: str
    default: Any = Field(description="null: absent, and the settings or the named agent decide")
    choices: list[str] = Field(description="of a choice; suggestions for a text")
    minimum: float | None
    maximum: float | None
    max_length: int | None
    pattern: str | None
    is_required: bool


def fields_of(
    request: type[BaseModel], suggestions: Mapping[str, list[str]] | None = None
) -> list[StartField]:
    """Return the fields of `request`, in its order.

    suggestions: values that the server knows for a field of text, by the field's name
    """
    schema = request.model_json_schema(by_alias=False)
    required, definitions = schema.get("required", ()), schema.get("$defs", {})
    return [
        _field(name, part, definitions, (suggestions or {}).get(name, []), name in required)
        for name, part in schema["properties"].items()
    ]


def _field(
    name: str,
    part: Mapping[str, Any],
    definitions: Mapping[str, Any],
    suggestions: list[str],
    is_required: bool,
) -> StartField:
    value = _value_schema(part, definitions)
    choices = [str(one) for one in value.get("enum", ())] or suggestions
    minimum = value.get("minimum", value.get("exclusiveMinimum"))
    maximum = value.get("maximum", value.get("exclusiveMaximum"))
    return StartField(
        name=name,
        kind=_kind(value),
        description=part.get("description") or value.get("description", ""),
        default=part.get("default"),
        choices=choices,
        minimum=minimum,
        maximum=maximum,
        max_length=value.get("maxLength"),
        pattern=value.get("pattern"),
        is_required=is_required,
    )


def _value_schema(part: Mapping[str, Any], definitions: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the schema of a value that is not null; empty if there are several kinds of it."""
    if (reference := part.get("$ref")) is not None:
        return _value_schema(definitions[reference.rpartition("/")[2]], definitions)
    kinds = [one for one in part.get("anyOf", ()) if one.get("type") != "null"]
    if len(kinds) == 1:
        return _value_schema(kinds[0], definitions)
    return {} if kinds else part


def _kind(value: Mapping[str, Any]) -> FieldKind:
    match value:
        case {"enum": list(names)} if all(isinstance(name, str) for name in names):
            return "choice"
        case {"type": "boolean"}:
            return "boolean"
        case {"type": "integer"}:
            return "integer"
        case {"type": "number"}:
            return "number"
        case {"type": "string", "maxLength": int(length)} if length > _LONG_TEXT_CHARACTERS:
            return "long_text"
        case {"type": "string"}:
            return "text"
        case _:
            return "json"

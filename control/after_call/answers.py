"""Answers of the language model, read tolerantly and checked strictly. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from jsonschema import Draft202012Validator
from jsonschema.validators import extend

from speech.language_model.schema_coercion import coerced_arguments
from speech.language_model.tool_repair import parsed_arguments

MAX_SUMMARY_CHARACTERS: Final = 8_000
MAX_VALUE_CHARACTERS: Final = 32_000
MAX_DEPTH: Final = 32
_MAX_PROBLEMS: Final = 5
_MAX_PROBLEM_CHARACTERS: Final = 300
# A schema may be a client's, and a regular expression may take any time.
_Validator: Final = extend(  # type: ignore[no-untyped-call]
    Draft202012Validator, {"pattern": lambda *_: None}
)
_THOUGHT: Final = re.compile(r"<think>.*?</think>", re.DOTALL)


class InvalidAnswerError(ValueError):
    """An answer that cannot be used; the text is for the model and the record."""


def read_summary(answer: str) -> str:
    """Return the summary.

    Raises:
        InvalidAnswerError: there is none.
    """
    text = _THOUGHT.sub("", answer).strip()
    if not text:
        raise InvalidAnswerError("the answer is empty")
    return text[:MAX_SUMMARY_CHARACTERS]


def read_extraction(answer: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the object of an answer that may have words around it; it fits the schema.

    Raises:
        InvalidAnswerError: there is none, or it does not fit.
    """
    if len(answer) > MAX_VALUE_CHARACTERS:
        raise InvalidAnswerError(f"it is longer than {MAX_VALUE_CHARACTERS} characters")
    text = _THOUGHT.sub("", answer)
    begin, end = text.find("{"), text.rfind("}")
    value = parsed_arguments(text[begin : end + 1]) if 0 <= begin < end else None
    if value is None:
        raise InvalidAnswerError("it is no JSON object")
    if _depth(value) > MAX_DEPTH:
        raise InvalidAnswerError(f"it is nested deeper than {MAX_DEPTH} levels")
    if problem := _problem(value, schema):
        value = coerced_arguments(value, schema)
        problem = _problem(value, schema)
    if problem:
        raise InvalidAnswerError(problem)
    return value


def _problem(value: Any, schema: Mapping[str, Any]) -> str:
    """Return what does not fit, by places and keywords; empty if all does."""
    found: list[str] = []
    for error in _Validator(dict(schema)).iter_errors(value):
        place = ".".join(map(str, error.absolute_path)) or "the object"
        wanted = json.dumps(error.validator_value, ensure_ascii=False, default=str)
        found.append(f"{place}: {error.validator} {wanted}"[:_MAX_PROBLEM_CHARACTERS])
        if len(found) == _MAX_PROBLEMS:
            break
    return "; ".join(found)


def _depth(value: Any) -> int:
    deepest, waiting = 0, [(value, 1)]
    while waiting:
        one, depth = waiting.pop()
        deepest = max(deepest, depth)
        children = one.values() if isinstance(one, dict) else one
        if isinstance(one, dict | list):
            waiting += [(child, depth + 1) for child in children]
    return deepest

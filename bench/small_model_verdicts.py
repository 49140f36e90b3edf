"""A small model's reply to a case: right, or in which way wrong. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import jsonschema

from bench.small_model_cases import Case

_CALL_LIKE = re.compile(
    r"[\"']?(name|function|arguments|parameters)[\"']?\s*:|\w+\s*\([^)]*\)|</?tool"
)


class Verdict(StrEnum):
    """Of a reply."""

    RIGHT = "right"
    WRONG_ARGUMENTS = "wrong arguments"
    INVALID_JSON = "arguments that are no JSON"
    UNKNOWN_NAME = "unknown or wrong tool"
    AS_TEXT = "call as text"
    UNNEEDED = "call where none was needed"
    MISSING = "no call where one was needed"
    ENDLESS = "repeats itself to the limit"


@dataclass(frozen=True, slots=True)
class Reply:
    """What came: text, and calls as names with arguments."""

    text: str
    calls: Sequence[tuple[str, str]]
    is_cut: bool


def verdict(case: Case, reply: Reply) -> Verdict:
    """Judge a reply by its first call."""
    if reply.calls:
        return _of_call(case, *reply.calls[0])
    if reply.is_cut and _repeats(reply.text):
        return Verdict.ENDLESS
    if _CALL_LIKE.search(reply.text):
        return Verdict.AS_TEXT
    return Verdict.MISSING if case.name else Verdict.RIGHT


def _of_call(case: Case, name: str, arguments: str) -> Verdict:
    if case.name is None:
        return Verdict.UNNEEDED
    if name != case.name:
        return Verdict.UNKNOWN_NAME
    try:
        given = json.loads(arguments)
    except ValueError:
        return Verdict.INVALID_JSON
    tool = next(tool for tool in case.tools if tool.name == name)
    if not jsonschema.Draft202012Validator(tool.parameters).is_valid(given):
        return Verdict.WRONG_ARGUMENTS
    return Verdict.RIGHT if _same(given, case.arguments or {}) else Verdict.WRONG_ARGUMENTS


def _same(given: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    return {key: str(value).casefold() for key, value in given.items()} == {
        key: str(value).casefold() for key, value in wanted.items()
    }


def _repeats(text: str) -> bool:
    """True if the last of the text has been said before: five words, three times."""
    words = re.findall(r"\w+", text.casefold())
    last = words[-5:]
    found = sum(words[start : start + 5] == last for start in range(len(words) - 4))
    return len(last) == 5 and found >= 3

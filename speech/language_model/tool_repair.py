"""Tool calls as small models make them, repaired or refused with a reason. Pure.

What is repaired: names that differ in case, underscores or a prefix such as `functions.`; arguments
that are nearly JSON; values of the wrong type (`schema_coercion`). What is not: guesses. A name that
resembles none, and arguments that are no object or end in the middle of a text, are refused.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import json_repair

from speech.dialogue.context import Tool
from speech.language_model.call_assembly import AssembledCall
from speech.language_model.chunks import clean_text
from speech.language_model.schema_coercion import coerced_arguments, folded

_MAX_REPAIRED_CHARACTERS: Final = 16_000
"""Repair takes 50 ms for so many, and grows with their square."""

_PREFIX: Final = re.compile(r"^(functions?|tools?|default_api|multi_tool_use)[.:/]")


@dataclass(frozen=True, slots=True)
class RepairedCall:
    """A call of an offered tool; `arguments` is a JSON object."""

    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class BrokenCall:
    """A call that cannot be made; `problem` tells the model why."""

    name: str
    problem: str


def repaired_calls(
    calls: Iterable[AssembledCall], tools: Sequence[Tool], *, is_cut: bool
) -> list[RepairedCall | BrokenCall]:
    """Repair each call; equal ones are merged.

    is_cut: the reply ended at the token limit, so its last arguments may be incomplete
    """
    repaired: list[RepairedCall | BrokenCall] = []
    for call in calls:
        one = repaired_call(call, tools, is_cut=is_cut)
        if one not in repaired:
            repaired.append(one)
    return repaired


def repaired_call(
    call: AssembledCall, tools: Sequence[Tool], *, is_cut: bool = False
) -> RepairedCall | BrokenCall:
    """Return the call as it can be made, or why it cannot."""
    tool = matching_tool(call.name, tools)
    if tool is None:
        names = ", ".join(tool.name for tool in tools) or "none"
        return BrokenCall(call.name, f"There is no tool of this name. Tools: {names}.")
    arguments = parsed_arguments(call.arguments, is_cut=is_cut)
    if arguments is None:
        problem = "were cut off: make them shorter" if is_cut else "are not a JSON object"
        return BrokenCall(tool.name, f"The arguments {problem}.")
    fitted = coerced_arguments(arguments, tool.parameters)
    if fitted == _strict_object(call.arguments):
        return RepairedCall(tool.name, call.arguments)
    return RepairedCall(tool.name, clean_text(json.dumps(fitted, ensure_ascii=False)))


def matching_tool(name: str, tools: Sequence[Tool]) -> Tool | None:
    """Return the tool of this name, give or take case, underscores and a prefix."""
    for tool in tools:
        if tool.name == name:
            return tool
    wanted = folded(_PREFIX.sub("", name.strip()))
    matches = [tool for tool in tools if folded(tool.name) == wanted]
    return matches[0] if len(matches) == 1 and wanted else None


def parsed_arguments(text: str, *, is_cut: bool = False) -> dict[str, Any] | None:
    """Return the object that `text` means; None: there is none, or its end is missing."""
    if not text.strip() or text.strip() in {"null", "None", '""'}:
        return {}
    if (strict := _strict_object(text)) is not None:
        return strict
    if is_cut or len(text) > _MAX_REPAIRED_CHARACTERS or ends_inside_text(text):
        return None
    try:
        value = json_repair.loads(text)
        if isinstance(value, str):  # JSON inside of a JSON string
            value = json_repair.loads(value)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) and _is_finite(value) else None


def _strict_object(text: str) -> dict[str, Any] | None:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) and _is_finite(value) else None


def _is_finite(value: Any) -> bool:
    """True without NaN and infinities, which are no JSON."""
    match value:
        case float():
            return math.isfinite(value)
        case dict():
            return all(map(_is_finite, value.values()))
        case list():
            return all(map(_is_finite, value))
        case _:
            return True


def ends_inside_text(text: str) -> bool:
    """True if a double quote is open at the end: half a text must not reach a tool."""
    without_escapes = re.sub(r"\\.", "", text, flags=re.DOTALL)
    return without_escapes.count('"') % 2 == 1


def repeated_rounds(messages: Sequence[Mapping[str, Any]]) -> int:
    """Return how often the model made its last calls in a row, since the user last spoke."""
    rounds: list[list[tuple[str, str]]] = []
    for message in reversed(messages):
        if message["role"] == "user":
            break
        if calls := message.get("tool_calls"):
            functions = [call["function"] for call in calls]
            rounds.append([(one["name"], one["arguments"]) for one in functions])
    count = 0
    for one in rounds:
        if one != rounds[0]:
            break
        count += 1
    return count

"""Which step of a script answers a request: a function of the conversation alone. Pure.

Requests are not counted: the local model asks early, throws answers away and asks again, and each of these
must get the answer of its place in the conversation. The place is found by what the assistant has said so
far: a step counts as given once its words (or as much of them as was heard) or its calls are in there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from scenarios.format import Model, ScriptStep

_CUT_MARK: Final = "—"
"""Ends a reply of which the person did not hear the rest (docs/local-model.md)."""

Message = Mapping[str, Any]


def find_step(model: Model, messages: Sequence[Message]) -> tuple[str, ScriptStep] | None:
    """Return the step for this conversation with a name of its own; None: the script is at its end."""
    words = _last_words(messages)
    for at, rule in enumerate(model.rules):
        is_answered = bool(rule.calls) and _is_after_calls(messages)
        if not is_answered and rule.if_heard and re.search(rule.if_heard, words, re.IGNORECASE):
            return f"rule {at + 1}", rule
    for at in range(_given(model.script, messages), len(model.script)):
        step = model.script[at]
        if step.if_heard is None or re.search(step.if_heard, words, re.IGNORECASE):
            return f"step {at + 1}", step
    return None


def _last_words(messages: Sequence[Message]) -> str:
    return next(
        (str(one.get("content") or "") for one in reversed(messages) if one["role"] == "user"), ""
    )


def _is_after_calls(messages: Sequence[Message]) -> bool:
    """Return true if the results of calls were the last to come: a rule that calls has been followed."""
    return bool(messages) and messages[-1]["role"] == "tool"


def _given(script: Sequence[ScriptStep], messages: Sequence[Message]) -> int:
    """Return how many steps the conversation has behind it."""
    place = 0
    for message in messages:
        if message["role"] != "assistant":
            continue
        rest = _plain(str(message.get("content") or ""))
        calls = [str(call["function"]["name"]) for call in message.get("tool_calls") or ()]
        # Replies without a word of a person between them are one message.
        while rest or calls:
            found = _first_match(script, place, rest, calls)
            if found is None:
                break
            place, rest, calls = found
    return place


def _first_match(
    script: Sequence[ScriptStep], place: int, text: str, calls: list[str]
) -> tuple[int, str, list[str]] | None:
    for at in range(place, len(script)):
        step = script[at]
        said = _plain(step.says or "")
        wanted = [call.name for call in step.calls]
        if said and not (text and (text.startswith(said) or said.startswith(text))):
            continue
        if wanted and calls[: len(wanted)] != wanted:
            continue
        if not said and text and wanted:
            # Words before a call that are none of this step.
            return at + 1, "", calls[len(wanted) :]
        return at + 1, text[len(said) :].strip(), calls[len(wanted) :]
    return None


def _plain(text: str) -> str:
    return " ".join(text.replace(_CUT_MARK, " ").casefold().split())

"""In what the models of Gemini Live differ: a table by name, the first row that matches counts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Final


@dataclass(frozen=True, slots=True)
class GeminiQuirks:
    """Differences of one model.

    has_content: messages may be added to the conversation at any time; otherwise a written turn
        goes the way of speech and is answered at once
    has_blocking_tools: it waits for the answer to a call, unless the declaration says otherwise
    has_text_output: replies may be written instead of spoken
    has_thinking_level: the amount of thinking can be set
    """

    has_content: bool = True
    has_blocking_tools: bool = True
    has_text_output: bool = False
    has_thinking_level: bool = False


_CURRENT: Final = GeminiQuirks(has_blocking_tools=False)
_TABLE: Final = (
    (
        "*gemini-3.1-flash-live*",
        GeminiQuirks(has_content=False, has_thinking_level=True),
    ),
    ("*gemini-2.5*native-audio*", replace(_CURRENT, has_blocking_tools=True)),
    ("*gemini-2.*", GeminiQuirks(has_text_output=True)),
    ("*", _CURRENT),
)


def quirks_of(model: str) -> GeminiQuirks:
    """The rules of `model`; of an unknown one those of the current models."""
    return next(quirks for pattern, quirks in _TABLE if fnmatchcase(model, pattern))

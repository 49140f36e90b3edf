"""Descriptions of a function and of its parameters, from its docstring.

Google, NumPy and Sphinx styles are recognised by their sections. A docstring in none of them is a
description as a whole.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

MAX_CHARACTERS: Final = 16_000
"""Longest docstring that is read; the rest is cut."""


@dataclass(frozen=True, slots=True)
class Documentation:
    """summary: all text before the sections; parameters: description by name"""

    summary: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)


def documentation_of(function: Callable[..., Any]) -> Documentation:
    """Read the docstring of `function`; of a callable object, that of its class."""
    return read_docstring(inspect.getdoc(inspect.unwrap(function)) or "")


def read_docstring(text: str) -> Documentation:
    """Read a docstring of any style; never fails."""
    # Imported here: only owners' files have docstrings to read.
    from docstring_parser import ParseError, parse

    text = inspect.cleandoc(text[:MAX_CHARACTERS])
    try:
        parsed = parse(text)
    except (ParseError, ValueError):
        return Documentation(summary=text)
    parameters: dict[str, str] = {}
    for each in parsed.params:
        # NumPy's style describes several at once: "width, height : int".
        for name in each.arg_name.split(","):
            if key := name.strip().lstrip("*"):
                parameters[key] = _one_line(each.description or "")
    return Documentation((parsed.description or "").strip(), parameters)


def _one_line(text: str) -> str:
    return " ".join(text.split())

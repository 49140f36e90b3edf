"""Rules of replacement, applied in order. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

Rule = tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]]

NUMBER = r"\d+(?:,\d{3})*(?:\.\d+)?"
"""A figure without sign, as in `1,234.5`."""

DASH = r"(?:-|\s?[\u2013\u2014]\s?)"
"""The signs between the ends of a range."""


def apply(rules: Iterable[Rule], text: str) -> str:
    """`text` after every rule."""
    for pattern, replacement in rules:
        text = pattern.sub(replacement, text)
    return text

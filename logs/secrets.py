"""Masks secrets in log lines, whoever logs them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final
from urllib.parse import quote

from pydantic import BaseModel, SecretStr

MASK: Final = "***"

_MIN_CHARACTERS: Final = 8
# Named secrets: headers, in any spelling and quoting, and query parameters.
_NAMED: Final = re.compile(
    r"""(?ix)
    ( (?:proxy-)?authorization \W{0,6} (?:bearer|basic|token)? \s*
    | \b(?:bearer|basic) \s+
    | (?:x-goog-api-key|api-key|x-api-key|cookie|x-amz-security-token) \W{1,6}
    | [?&](?:key|token|access_token|api_key|secret)=
    )
    (?: [^\s'"<>&,;\\] ){4,}
    """
)
# Each match of the pattern contains one of these; searching for them first is ten times as fast.
_HINTS: Final = ("bearer", "basic", "authorization", "cookie", "key", "token", "secret")
_PASSWORD: Final = re.compile(r"(?i)(\b[a-z][a-z0-9+.-]*://)[^/\s@'\"]+@")
# Pydantic quotes input, which may be private; the line may be truncated within it.
_QUOTED_INPUT: Final = re.compile(r"input_value=.*?(?=, input_type=|\Z)", re.DOTALL)


class Secrets:
    """Secrets of this process, and patterns of others."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        """values: masked everywhere; short ones are skipped, as they would mask common words."""
        known = {
            spelling
            for value in values
            if len(value) >= _MIN_CHARACTERS
            for spelling in _spellings(value)
        }
        # The longest first: one may be part of another.
        self._values = sorted(known, key=len, reverse=True)

    def hide(self, text: str) -> str:
        """Return the text with secrets masked."""
        for value in self._values:
            if value in text:
                text = text.replace(value, MASK)
        lowered = text.lower()
        if any(hint in lowered for hint in _HINTS):
            text = _NAMED.sub(rf"\1{MASK}", text)
        if "://" in text:
            text = _PASSWORD.sub(rf"\1{MASK}@", text)
        if "input_value=" in text:
            text = _QUOTED_INPUT.sub(f"input_value={MASK}", text)
        return text


def _spellings(value: str) -> set[str]:
    """Return the value's spellings in text, JSON, Python quoting and URLs."""
    return {
        value,
        json.dumps(value)[1:-1],
        json.dumps(value, ensure_ascii=False)[1:-1],
        repr(value)[1:-1],
        repr(value.encode(errors="replace"))[2:-1],
        quote(value, safe="", errors="replace"),
    }


def secrets_of(value: Any) -> Iterator[str]:
    """Yield every `SecretStr` in a model, recursively."""
    match value:
        case SecretStr():
            yield value.get_secret_value()
        case BaseModel():
            for name in type(value).model_fields:
                yield from secrets_of(getattr(value, name))
        case Mapping():
            for one in value.values():
                yield from secrets_of(one)
        case tuple() | list() | frozenset() | set():
            for one in value:
                yield from secrets_of(one)

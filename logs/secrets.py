"""Keeps secrets out of lines that libraries or our own mistakes would put them into."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final
from urllib.parse import quote

from pydantic import BaseModel, SecretStr

MASK: Final = "***"

_MIN_CHARACTERS: Final = 8
# What names its secret: headers, in any spelling and quoting, and URLs with a user's password.
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
# One of them is in whatever the pattern finds; looking for them is ten times as fast.
_HINTS: Final = ("bearer", "basic", "authorization", "cookie", "key", "token", "secret")
_PASSWORD: Final = re.compile(r"(?i)(\b[a-z][a-z0-9+.-]*://)[^/\s@'\"]+@")
# What pydantic quotes of its input is somebody's; a line may be cut in the midst of it.
_QUOTED_INPUT: Final = re.compile(r"input_value=.*?(?=, input_type=|\Z)", re.DOTALL)


class Secrets:
    """The secrets of this process, and what secrets look like."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        """values: what must never be told; too short ones would hide common words."""
        known = {
            spelling
            for value in values
            if len(value) >= _MIN_CHARACTERS
            for spelling in _spellings(value)
        }
        # The longest first: one may be part of another.
        self._values = sorted(known, key=len, reverse=True)

    def hide(self, text: str) -> str:
        """The text without them."""
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
    """As it stands in text, in JSON, in Python's own quoting and in a URL."""
    return {
        value,
        json.dumps(value)[1:-1],
        json.dumps(value, ensure_ascii=False)[1:-1],
        repr(value)[1:-1],
        repr(value.encode(errors="replace"))[2:-1],
        quote(value, safe="", errors="replace"),
    }


def secrets_of(value: Any) -> Iterator[str]:
    """Every `SecretStr` in a model or in what it holds."""
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

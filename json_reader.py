"""Reads JSON and base64 that others wrote: one reader, so that one set of limits holds everywhere.

What it returns can be written again: it is nested at most `MAX_DEPTH` deep and its text can be
encoded. What it refuses raises `InvalidJsonError`, whatever was wrong; content is never repeated.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from typing import Any, Final

from pydantic_core import from_json

MAX_DEPTH: Final = 200
"""Of arrays and objects within one another; the limit of `pydantic_core.from_json`."""

REPLACEMENT: Final = "\ufffd"
"""Stands for half of a character that takes two UTF-16 code units (a lone surrogate)."""

# A pair, a half, or any other escape, which must be stepped over whole.
_ESCAPE: Final = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    r"|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
    r"|\\."
)
_LONE_SURROGATE: Final = re.compile("[\ud800-\udfff]")
# What may be a number beyond the range of floats, which parsers take for infinite.
_MAYBE_HUGE: Final = re.compile(r"\d[eE]\+?\d{3}|\d{300}")
_SPACE: Final = re.compile(r"\s+")


class InvalidJsonError(ValueError):
    """Not JSON, nested too deep, or not of the kind that was asked for."""


def read_json(
    text: str | bytes, *, should_keep_halves: bool = False, allow_nan: bool = False
) -> Any:
    """The value of a JSON document.

    should_keep_halves: leave lone surrogates in strings, for a stream whose pieces may be cut inside
        a character; join the pieces, then `mend_text`. Otherwise `REPLACEMENT` stands for each.
    allow_nan: take NaN and Infinity, which are no JSON, as floats

    Raises:
        InvalidJsonError: saying why, without repeating content.
    """
    try:
        if isinstance(text, bytes):
            text = text.decode()
        try:
            return _parse(text, allow_nan)
        except (ValueError, TypeError):
            # Perhaps for a lone surrogate, escaped or as it is: no strict parser takes it.
            mended = _mend_escapes(mend_text(text))
            value = _parse(mended, allow_nan)
            # The depth is known to be harmless by now.
            return json.loads(text) if should_keep_halves else value
    except (ValueError, RecursionError):
        raise InvalidJsonError("not valid JSON") from None


def read_object(
    text: str | bytes, *, should_keep_halves: bool = False, allow_nan: bool = False
) -> dict[str, Any]:
    """The same for a document that must be an object.

    Raises:
        InvalidJsonError: not JSON, or another value.
    """
    value = read_json(text, should_keep_halves=should_keep_halves, allow_nan=allow_nan)
    if not isinstance(value, dict):
        raise InvalidJsonError("not a JSON object")
    return value


def mend_text(text: str) -> str:
    """`text` with pairs of surrogates joined, and `REPLACEMENT` for each half that stays alone."""
    if not _LONE_SURROGATE.search(text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def read_base64(text: str) -> bytes:
    """The bytes of base64 in any of its usual forms: URL-safe, in lines, without padding.

    Raises:
        ValueError: it holds something else.
    """
    compact = _SPACE.sub("", text).rstrip("=").translate(_URL_SAFE)
    try:
        return base64.b64decode(compact + "=" * (-len(compact) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("not base64") from None


_URL_SAFE: Final = str.maketrans("-_", "+/")


def _parse(text: str, allow_nan: bool) -> Any:
    # Strings are not kept: they may be what people say.
    value = from_json(text, allow_inf_nan=allow_nan, cache_strings="none")
    if not allow_nan and _MAYBE_HUGE.search(text):
        json.dumps(value, allow_nan=False)  # refuses infinite numbers
    return value


def _mend_escapes(text: str) -> str:
    return _ESCAPE.sub(lambda match: "\\ufffd" if match.group(1) else match.group(0), text)

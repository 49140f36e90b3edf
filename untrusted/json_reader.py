"""Parses untrusted JSON and base64, with one set of limits everywhere.

Parsed values can be serialized again: they are nested at most `MAX_DEPTH` deep and their text can be
encoded. Every refusal raises `InvalidJsonError`; content is never repeated.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from typing import Any, Final

from pydantic_core import from_json

MAX_DEPTH: Final = 200
"""Nesting of arrays and objects; the limit of `pydantic_core.from_json`."""

REPLACEMENT: Final = "\ufffd"
"""Replaces a lone surrogate: half of a character of two UTF-16 code units."""

# A surrogate pair, a lone one, or any other escape, which must be skipped whole.
_ESCAPE: Final = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    r"|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
    r"|\\."
)
_LONE_SURROGATE: Final = re.compile("[\ud800-\udfff]")
# Possible numbers beyond the float range, which parsers read as infinite.
_MAYBE_HUGE: Final = re.compile(r"\d[eE]\+?\d{3}|\d{300}")
_SPACE: Final = re.compile(r"\s+")


class InvalidJsonError(ValueError):
    """Not JSON, nested too deep, or of the wrong type."""


def read_json(
    text: str | bytes, *, should_keep_halves: bool = False, allow_nan: bool = False
) -> Any:
    """Parse a JSON document.

    should_keep_halves: keep lone surrogates in strings, for a stream whose pieces may be split within
        a character; join the pieces, then `mend_text`. Otherwise each becomes `REPLACEMENT`.
    allow_nan: accept NaN and Infinity, which are not JSON, as floats

    Raises:
        InvalidJsonError: the document is invalid; the text repeats no content.
    """
    try:
        if isinstance(text, bytes):
            text = text.decode()
        try:
            return _parse(text, allow_nan)
        except (ValueError, TypeError):
            # Possibly a lone surrogate, escaped or literal, which no strict parser accepts.
            mended = _mend_escapes(mend_text(text))
            value = _parse(mended, allow_nan)
            # The depth has been checked by now.
            return json.loads(text) if should_keep_halves else value
    except (ValueError, RecursionError):
        raise InvalidJsonError("not valid JSON") from None


def read_object(
    text: str | bytes, *, should_keep_halves: bool = False, allow_nan: bool = False
) -> dict[str, Any]:
    """Parse a JSON document that must be an object.

    Raises:
        InvalidJsonError: not JSON, or another value.
    """
    value = read_json(text, should_keep_halves=should_keep_halves, allow_nan=allow_nan)
    if not isinstance(value, dict):
        raise InvalidJsonError("not a JSON object")
    return value


def mend_text(text: str) -> str:
    """Return `text` with surrogate pairs joined and `REPLACEMENT` for each lone one."""
    if not _LONE_SURROGATE.search(text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def read_base64(text: str) -> bytes:
    """Decode base64 in any usual form: URL-safe, in lines, without padding.

    Raises:
        ValueError: not base64.
    """
    compact = _SPACE.sub("", text).rstrip("=").translate(_URL_SAFE)
    try:
        return base64.b64decode(compact + "=" * (-len(compact) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("not base64") from None


_URL_SAFE: Final = str.maketrans("-_", "+/")


def _parse(text: str, allow_nan: bool) -> Any:
    # Strings are not cached: they may be speech.
    value = from_json(text, allow_inf_nan=allow_nan, cache_strings="none")
    if not allow_nan and _MAYBE_HUGE.search(text):
        json.dumps(value, allow_nan=False)  # refuses infinite numbers
    return value


def _mend_escapes(text: str) -> str:
    return _ESCAPE.sub(lambda match: "\\ufffd" if match.group(1) else match.group(0), text)

"""Conversion of a tool's return value, any Python value, to text for a model, within bounds."""

from __future__ import annotations

import base64
import dataclasses
import itertools
import json
import math
from collections import deque
from collections.abc import Iterator, KeysView, Mapping, ValuesView
from enum import Enum
from io import IOBase
from typing import Any, Final

from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from untrusted.json_reader import mend_text

MAX_OUTPUT_CHARACTERS: Final = 32_000
MAX_DEPTH: Final = 64
_MAX_UNKNOWN_CHARACTERS: Final = 1_000
_MAX_PLAIN: Final = 1_000
# Mending joins pairs: a text may be half as long afterwards.
_MAX_MENDED_CHARACTERS: Final = 2 * MAX_OUTPUT_CHARACTERS
_PLAIN_TYPES: Final = (str, int, float, bool, type(None))
_LISTS: Final = (list, tuple, set, frozenset, deque, range, Iterator, KeysView, ValuesView)


@dataclasses.dataclass(frozen=True, slots=True)
class Result:
    """A tool's result with directions; a tool may return any plain value instead.

    is_silent: the model only has to know it; no reply is asked for
    shown: text for people, in the events of the call, instead of the model's
    """

    value: Any
    is_silent: bool = False
    shown: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class ToolOutcome:
    """Outcome of a call as the model gets it. Of an error, `output` is `{"error": text}`.

    is_unexpected: the tool's own code failed with something other than a `ToolError`
    start_response: the model may reply to the output; false: it is a silent result
    shown: text for people; None: the output
    cause: class and text of the unexpected error, which may hold private words
    place: file and line of the owner's code that failed
    """

    output: str
    is_error: bool = False
    is_unexpected: bool = False
    start_response: bool = True
    shown: str | None = None
    cause: str = dataclasses.field(default="", repr=False)
    place: str = ""


def failure(text: str, *, is_unexpected: bool = False) -> ToolOutcome:
    """Return the outcome of a call that was not carried out, in words for the model."""
    output = json.dumps({"error": text}, ensure_ascii=False)
    return ToolOutcome(output, is_error=True, is_unexpected=is_unexpected)


class UnserializableResultError(ValueError):
    """A value has no text form within the bounds; the text gives the reason."""


def to_output(value: Any) -> str:
    """Return text unchanged, everything else as JSON.

    Models, dataclasses, enumerations, dates, decimals, sets, bytes, paths and the like are written
    by their values, unknown types by their `str`.

    Raises:
        UnserializableResultError: The value is too deep or too long.
        BaseException: Raised by the value's own code.
    """
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, str) and len(value) > _MAX_MENDED_CHARACTERS:
        raise _too_long(len(value))
    text = mend_text(str(value)) if isinstance(value, str) else _json(value)
    if len(text) > MAX_OUTPUT_CHARACTERS:
        raise _too_long(len(text))
    return text


def is_plain(value: Any) -> bool:
    """Return true if `value` is small and of JSON's types: fast to convert, with no foreign code."""
    waiting = [value]
    for _ in range(_MAX_PLAIN):
        if not waiting:
            return True
        match waiting.pop():
            case dict() as one if type(one) is dict:
                if not all(type(key) is str for key in one):
                    return False
                waiting += one.values()
            case list() | tuple() as one if type(one) in (list, tuple):
                waiting += one
            case one if type(one) not in _PLAIN_TYPES:
                return False
    return False


def _too_long(characters: int) -> UnserializableResultError:
    return UnserializableResultError(f"its result is too long ({characters} characters)")


def _json(value: Any) -> str:
    plain = _Plain().of(value, 0)
    return json.dumps(plain, ensure_ascii=False, allow_nan=False)


class _Plain:
    """Converter to JSON's types; each value costs at least a character, so their number is bounded."""

    def __init__(self) -> None:
        self._left = MAX_OUTPUT_CHARACTERS

    def of(self, value: Any, depth: int) -> Any:
        """Return `value` in the form for `json.dumps`."""
        self._left -= 1
        if self._left < 0:
            raise UnserializableResultError("its result is too long")
        if depth > MAX_DEPTH:
            raise UnserializableResultError("its result is nested too deep")
        match value:
            case None | bool():
                return value
            case Enum():
                return self.of(value.value, depth + 1)
            case str():
                self._left -= len(value) // 2
                if self._left < 0:
                    raise UnserializableResultError("its result is too long")
                return mend_text(str(value))
            case int():
                return int(value)
            case float():
                # NaN and infinity are no JSON.
                return float(value) if math.isfinite(value) else str(float(value))
            case bytes() | bytearray() | memoryview():
                return _bytes_text(bytes(value))
            case _:
                return self._of_parts(value, depth)

    def _of_parts(self, value: Any, depth: int) -> Any:
        if isinstance(value, BaseModel):
            return self.of(
                value.model_dump(mode="json", fallback=_unknown, warnings=False), depth + 1
            )
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            fields = dataclasses.fields(value)
            return {one.name: self.of(getattr(value, one.name), depth + 1) for one in fields}
        if isinstance(value, Mapping):
            items = itertools.islice(value.items(), MAX_OUTPUT_CHARACTERS)
            return {self._key(key): self.of(each, depth + 1) for key, each in items}
        if isinstance(value, IOBase):
            return _unknown(value)  # its lines are not its value, and may have no end
        if isinstance(value, _LISTS):
            return [self.of(each, depth + 1) for each in value]
        return self._leaf(value, depth)

    def _key(self, key: Any) -> str:
        plain = self.of(key, MAX_DEPTH - 1)
        return plain if isinstance(plain, str) else json.dumps(plain, ensure_ascii=False)

    def _leaf(self, value: Any, depth: int) -> Any:
        plain = to_jsonable_python(value, fallback=_unknown, inf_nan_mode="strings")
        return mend_text(plain) if isinstance(plain, str) else self.of(plain, depth + 1)


def _unknown(value: Any) -> Any:
    """Return the list form of numpy values and the like, the `str` of anything else."""
    to_list = getattr(value, "tolist", None)
    if callable(to_list):
        return to_list()
    return str(value)[:_MAX_UNKNOWN_CHARACTERS]


def _bytes_text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return base64.b64encode(data).decode()

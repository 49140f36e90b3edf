"""What a model is told of the value that a tool returned: any Python value as text, within bounds."""

from __future__ import annotations

import base64
import dataclasses
import itertools
import json
import math
from collections import deque
from collections.abc import AsyncIterator, Iterator, KeysView, Mapping, ValuesView
from enum import Enum
from io import IOBase
from typing import Any, Final

from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from json_reader import mend_text

MAX_OUTPUT_CHARACTERS: Final = 32_000
MAX_DEPTH: Final = 64
_MAX_UNKNOWN_CHARACTERS: Final = 1_000
_MAX_PLAIN: Final = 1_000
# Mending joins pairs: a text may be half as long afterwards.
_MAX_MENDED_CHARACTERS: Final = 2 * MAX_OUTPUT_CHARACTERS
_PLAIN_TYPES: Final = (str, int, float, bool, type(None))
_LISTS: Final = (list, tuple, set, frozenset, deque, range, Iterator, KeysView, ValuesView)


class UntellableError(ValueError):
    """A value has no text form within the bounds; the text says why."""


def tell(value: Any) -> str:
    """Text as it is, everything else as JSON.

    Models, dataclasses, enumerations, dates, decimals, sets, bytes, paths and the like are told by
    their values; what nothing else is known of, by its `str`.

    Raises:
        UntellableError: too deep or too long.
        BaseException: whatever the value's own code raises.
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
    """Whether telling `value` takes no time and runs no code but ours: little, and of JSON's types."""
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


async def collect(values: AsyncIterator[Any]) -> list[Any]:
    """What an asynchronous iterator gives, up to one more than can be told."""
    found: list[Any] = []
    async for each in values:
        found.append(each)
        if len(found) > MAX_OUTPUT_CHARACTERS:
            break
    return found


def _too_long(characters: int) -> UntellableError:
    return UntellableError(f"its result is too long to be told ({characters} characters)")


def _json(value: Any) -> str:
    plain = _Plain().of(value, 0)
    return json.dumps(plain, ensure_ascii=False, allow_nan=False)


class _Plain:
    """Makes values of JSON's types. Each takes at least a character, so that their number is bounded."""

    def __init__(self) -> None:
        self._left = MAX_OUTPUT_CHARACTERS

    def of(self, value: Any, depth: int) -> Any:
        """The same value for `json.dumps`."""
        self._left -= 1
        if self._left < 0:
            raise UntellableError("its result is too long to be told")
        if depth > MAX_DEPTH:
            raise UntellableError("its result is nested too deep to be told")
        match value:
            case None | bool():
                return value
            case Enum():
                return self.of(value.value, depth + 1)
            case str():
                self._left -= len(value) // 2
                if self._left < 0:
                    raise UntellableError("its result is too long to be told")
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
        told = to_jsonable_python(value, fallback=_unknown, inf_nan_mode="strings")
        return mend_text(told) if isinstance(told, str) else self.of(told, depth + 1)


def _unknown(value: Any) -> Any:
    """Numbers and arrays of numpy and its like have a list form; for the rest its text stands."""
    to_list = getattr(value, "tolist", None)
    if callable(to_list):
        return to_list()
    return str(value)[:_MAX_UNKNOWN_CHARACTERS]


def _bytes_text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return base64.b64encode(data).decode()

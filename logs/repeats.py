"""What is told again and again is told a few times and then counted: lines and tracebacks."""

from __future__ import annotations

import copy
import logging
import os
import traceback
from collections import OrderedDict
from dataclasses import dataclass
from types import TracebackType
from typing import Final

from logs.expected import describe, is_expected, is_own

WINDOW_S: Final = 10.0
MAX_SAME: Final = 5
"""Lines with the same words in a window; the rest is counted."""

MAX_OF_PLACE: Final = 100
"""Warnings and errors of one place in the code in a window, whatever their words."""

TRACEBACK_AGAIN_S: Final = 3_600.0
"""So long a traceback of the same place is told in one line."""

_MAX_KEPT: Final = 512
_MAX_CAUSES: Final = 20
_MAX_WORDS_CHARACTERS: Final = 1_000

_Key = tuple[str, int, str, int, str]


@dataclass
class _Window:
    began_s: float
    told: int = 0
    held: int = 0
    # What is held back, without its exception: that holds frames and all that is in them.
    sample: logging.LogRecord | None = None


class _Windows:
    """Lines of each key since its window began; `limit` of them are told."""

    def __init__(self, limit: int, what: str) -> None:
        self._limit = limit
        self._what = what
        self._windows: OrderedDict[_Key, _Window] = OrderedDict()

    def __len__(self) -> int:
        return len(self._windows)

    def open(self, key: _Key, now_s: float) -> _Window:
        """The window of this key; the oldest of too many is given up with its count."""
        window = self._windows.get(key)
        if window is None:
            if len(self._windows) >= _MAX_KEPT:
                self._windows.popitem(last=False)
            window = self._windows[key] = _Window(now_s)
        return window

    def has_room(self, window: _Window, record: logging.LogRecord) -> bool:
        """Whether one more is told; otherwise it is counted."""
        if window.told < self._limit:
            return True
        window.sample = window.sample or _bare(record)
        window.held += 1
        return False

    def due(self, now_s: float, *, is_end: bool) -> list[logging.LogRecord]:
        """What was held back in windows that are over, or in all at the end."""
        sums = []
        while self._windows:
            key, window = next(iter(self._windows.items()))
            if not is_end and now_s - window.began_s < WINDOW_S:
                break
            del self._windows[key]
            if (sample := window.sample) is not None:
                sample.msg += f" (and {window.held} {self._what} within {WINDOW_S:g} s)"
                sums.append(sample)
        return sums


@dataclass
class _Traced:
    told_s: float
    seen: int = 1


class Repeats:
    """Remembers, up to a bound, what was told. Ask for what is `due` before each `judge`.

    Times are monotonic seconds.
    """

    def __init__(self) -> None:
        self._same = _Windows(MAX_SAME, "times the same")
        self._of_place = _Windows(MAX_OF_PLACE, "lines like it")
        self._traced: OrderedDict[tuple[str, ...], _Traced] = OrderedDict()

    def __len__(self) -> int:
        return len(self._same) + len(self._of_place) + len(self._traced)

    def judge(self, record: logging.LogRecord, now_s: float) -> logging.LogRecord | None:
        """The record as it shall be told; None: it is only counted."""
        if record.levelno < logging.INFO:
            return record
        key = (record.name, record.levelno, record.pathname, record.lineno, "")
        place = None
        if record.levelno >= logging.WARNING:
            place = self._of_place.open(key, now_s)
            if not self._of_place.has_room(place, record):
                return None
        same = self._same.open((*key[:4], _words_of(record)), now_s)
        if not self._same.has_room(same, record):
            return None
        same.told += 1
        if place is not None:
            place.told += 1
        return self._without_old_traceback(record, now_s)

    def due(self, now_s: float, *, is_end: bool = False) -> list[logging.LogRecord]:
        """Records that sum up what was held back in windows that are over, or in all at the end."""
        return self._same.due(now_s, is_end=is_end) + self._of_place.due(now_s, is_end=is_end)

    def _without_old_traceback(self, record: logging.LogRecord, now_s: float) -> logging.LogRecord:
        error = record.exc_info[1] if record.exc_info else None
        if error is None:
            return record
        key = _place_of(error)
        traced = self._traced.get(key)
        if traced is None or now_s - traced.told_s >= TRACEBACK_AGAIN_S:
            self._traced[key] = _Traced(now_s)
            self._traced.move_to_end(key)
            if len(self._traced) > _MAX_KEPT:
                self._traced.popitem(last=False)
            return record
        traced.seen += 1
        short = copy.copy(record)
        short.exc_info = None
        short.exc_text = (
            f"{describe(error)} at {key[1] or 'an unknown place'}: as before, {traced.seen} times"
        )
        return short


def in_one_line(record: logging.LogRecord) -> logging.LogRecord:
    """The record, with the error in its message in place of a traceback if it is an expected one."""
    error = record.exc_info[1] if record.exc_info else None
    if error is None or not is_expected(error):
        return record
    words, text = _words_of(record), describe(error)
    short = _bare(record)
    if text not in words:
        # Ours are raised for people to read; of others it helps to know where they came from.
        place = "" if is_own(error) else _innermost(error.__traceback__)
        short.msg = f"{words}: {text}" + (f" ({place})" if place else "")
    return short


def _words_of(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()[:_MAX_WORDS_CHARACTERS]
    except Exception:  # noqa: BLE001 - whatever an argument's own text raises
        return str(record.msg)[:_MAX_WORDS_CHARACTERS]


def _place_of(error: BaseException) -> tuple[str, ...]:
    """By which two tracebacks are the same: kinds and innermost places of it and what led to it."""
    parts: list[str] = []
    seen: set[int] = set()
    # A member of a group may well have the group among its causes.
    waiting = [error]
    while waiting and len(seen) < _MAX_CAUSES:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        parts += [type(one).__qualname__, _innermost(one.__traceback__)]
        cause = one.__cause__ or (None if one.__suppress_context__ else one.__context__)
        waiting += [cause] if cause is not None else []
        waiting += one.exceptions if isinstance(one, BaseExceptionGroup) else ()
    return tuple(parts)


def _innermost(trace: TracebackType | None) -> str:
    place = ""
    for frame, line in traceback.walk_tb(trace):
        place = f"{os.path.basename(frame.f_code.co_filename)}:{line}"
    return place


def _bare(record: logging.LogRecord) -> logging.LogRecord:
    bare = copy.copy(record)
    bare.msg, bare.args = _words_of(record), None
    bare.exc_info = bare.exc_text = bare.stack_info = None
    return bare

"""Suppression of repeated lines and tracebacks: logged a few times, then counted."""

from __future__ import annotations

import copy
import logging
import os
import traceback
from dataclasses import dataclass
from types import TracebackType
from typing import Final

from logs.expected import describe, is_expected, is_own
from utils import BoundedDict

WINDOW_S: Final = 10.0
MAX_SAME: Final = 5
"""Lines with the same message per window; further ones are counted."""

MAX_OF_PLACE: Final = 100
"""Warnings and errors of one place in the code per window, whatever the message."""

TRACEBACK_AGAIN_S: Final = 3_600.0
"""Time for which further tracebacks of the same place are shortened to one line."""

_MAX_KEPT: Final = 512
_MAX_CAUSES: Final = 20
_MAX_WORDS_CHARACTERS: Final = 1_000

_Key = tuple[str, int, str, int, str]


@dataclass
class _Window:
    began_s: float
    logged: int = 0
    held: int = 0
    # A suppressed record, without its exception: that would keep frames alive.
    sample: logging.LogRecord | None = None


class _Windows:
    """Counts lines per key and window; `limit` of them are logged."""

    def __init__(self, limit: int, what: str) -> None:
        self._limit = limit
        self._what = what
        self._windows: BoundedDict[_Key, _Window] = BoundedDict(_MAX_KEPT)

    def __len__(self) -> int:
        return len(self._windows)

    def open(self, key: _Key, now_s: float) -> _Window:
        """Return the window of this key; past the limit the oldest is dropped with its count."""
        window = self._windows.get(key)
        if window is None:
            window = self._windows[key] = _Window(now_s)
        return window

    def has_room(self, window: _Window, record: logging.LogRecord) -> bool:
        """Return true if the record is to be logged; otherwise count it."""
        if window.logged < self._limit:
            return True
        window.sample = window.sample or _bare(record)
        window.held += 1
        return False

    def due(self, now_s: float, *, is_end: bool) -> list[logging.LogRecord]:
        """Return summaries of suppressed lines in windows that are over; at the end, in all."""
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
    logged_s: float
    seen: int = 1


class Repeats:
    """Suppresses repeats, within a bounded memory. Call `due` before each `judge`.

    Times are monotonic seconds.
    """

    def __init__(self) -> None:
        self._same = _Windows(MAX_SAME, "times the same")
        self._of_place = _Windows(MAX_OF_PLACE, "lines like it")
        self._traced: BoundedDict[tuple[str, ...], _Traced] = BoundedDict(_MAX_KEPT)

    def __len__(self) -> int:
        return len(self._same) + len(self._of_place) + len(self._traced)

    def judge(self, record: logging.LogRecord, now_s: float) -> logging.LogRecord | None:
        """Return the record as it is to be logged; None: it is only counted."""
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
        same.logged += 1
        if place is not None:
            place.logged += 1
        return self._without_old_traceback(record, now_s)

    def due(self, now_s: float, *, is_end: bool = False) -> list[logging.LogRecord]:
        """Return summaries of suppressed lines in windows that are over; at the end, in all."""
        return self._same.due(now_s, is_end=is_end) + self._of_place.due(now_s, is_end=is_end)

    def _without_old_traceback(self, record: logging.LogRecord, now_s: float) -> logging.LogRecord:
        error = record.exc_info[1] if record.exc_info else None
        if error is None:
            return record
        key = _place_of(error)
        traced = self._traced.get(key)
        if traced is None or now_s - traced.logged_s >= TRACEBACK_AGAIN_S:
            self._traced[key] = _Traced(now_s)
            self._traced.move_to_end(key)
            return record
        traced.seen += 1
        short = copy.copy(record)
        short.exc_info = None
        short.exc_text = (
            f"{describe(error)} at {key[1] or 'an unknown place'}: as before, {traced.seen} times"
        )
        return short


def in_one_line(record: logging.LogRecord) -> logging.LogRecord:
    """Return the record, with an expected error in its message in place of a traceback."""
    error = record.exc_info[1] if record.exc_info else None
    if error is None or not is_expected(error):
        return record
    words, text = _words_of(record), describe(error)
    short = _bare(record)
    if text not in words:
        # Errors of this project have a readable text; others need their place.
        place = "" if is_own(error) else _innermost(error.__traceback__)
        short.msg = f"{words}: {text}" + (f" ({place})" if place else "")
    return short


def _words_of(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()[:_MAX_WORDS_CHARACTERS]
    except Exception:  # noqa: BLE001 - the `str` of an argument may raise anything
        return str(record.msg)[:_MAX_WORDS_CHARACTERS]


def _place_of(error: BaseException) -> tuple[str, ...]:
    """Return the identity of a traceback: classes and innermost places of the error and its causes."""
    parts: list[str] = []
    seen: set[int] = set()
    # A member of a group may have the group among its causes.
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

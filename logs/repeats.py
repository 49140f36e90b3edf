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

WINDOW_S: Final = 10.0
MAX_SAME: Final = 5
"""Lines with the same words in a window; the rest is counted."""

MAX_OF_PLACE: Final = 100
"""Warnings and errors of one place in the code in a window, whatever their words."""

TRACEBACK_AGAIN_S: Final = 3_600.0
"""So long a traceback of the same place is told in one line."""

_MAX_KEPT: Final = 512
_MAX_WORDS_CHARACTERS: Final = 1_000

_Key = tuple[str, int, str, int, str]


@dataclass
class _Window:
    began_s: float
    told: int = 0
    held: int = 0
    # What is held back, without its exception: that holds frames and all that is in them.
    sample: logging.LogRecord | None = None


@dataclass
class _Traced:
    told_s: float
    seen: int = 1


class Repeats:
    """Remembers, up to a bound, what was told. Ask for what is `due` before each `judge`.

    Times are monotonic seconds.
    """

    def __init__(self) -> None:
        self._windows: OrderedDict[_Key, _Window] = OrderedDict()
        self._traced: OrderedDict[tuple[str, ...], _Traced] = OrderedDict()
        self._held = 0

    def judge(self, record: logging.LogRecord, now_s: float) -> logging.LogRecord | None:
        """The record as it shall be told; None: it is only counted."""
        if record.levelno < logging.INFO:
            return record
        place = (record.name, record.levelno, record.pathname, record.lineno)
        if not self._has_room((*place, _words_of(record)), MAX_SAME, record, now_s):
            return None
        is_problem = record.levelno >= logging.WARNING
        if is_problem and not self._has_room((*place, ""), MAX_OF_PLACE, record, now_s):
            return None
        return self._without_old_traceback(record, now_s)

    def due(self, now_s: float, *, is_end: bool = False) -> list[logging.LogRecord]:
        """Records that sum up what was held back in windows that are over, or in all at the end."""
        sums = []
        while self._windows:
            key, window = next(iter(self._windows.items()))
            if not is_end and now_s - window.began_s < WINDOW_S:
                break
            del self._windows[key]
            if window.sample is not None:
                self._held -= 1
                sums.append(_sum_of(window.sample, window.held, is_of_place=not key[-1]))
        return sums

    @property
    def has_held(self) -> bool:
        """Whether `due` will have something to tell."""
        return self._held > 0

    def _has_room(self, key: _Key, limit: int, record: logging.LogRecord, now_s: float) -> bool:
        window = self._windows.get(key)
        if window is None:
            if len(self._windows) >= _MAX_KEPT:
                # As if it were new: bounded memory is worth more than a count.
                _, oldest = self._windows.popitem(last=False)
                self._held -= oldest.sample is not None
            window = self._windows[key] = _Window(now_s)
        if window.told < limit:
            window.told += 1
            return True
        if window.sample is None:
            self._held += 1
            window.sample = _bare(record)
        window.held += 1
        return False

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
            f"{describe(error)} at {key[-1] or 'an unknown place'}: as before, {traced.seen} times"
        )
        return short


def describe(error: BaseException) -> str:
    """Its kind and text; of a group, those of all its members."""
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(describe(one) for one in error.exceptions)
    text = str(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _words_of(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()[:_MAX_WORDS_CHARACTERS]
    except Exception:  # noqa: BLE001 - whatever an argument's own text raises
        return str(record.msg)[:_MAX_WORDS_CHARACTERS]


def _place_of(error: BaseException) -> tuple[str, ...]:
    """By which two tracebacks are the same: kinds and innermost places of it and of its causes."""
    parts: list[str] = []
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        parts = [type(cause).__qualname__, _innermost(cause.__traceback__), *parts]
        if isinstance(cause, BaseExceptionGroup):
            for one in cause.exceptions[:4]:
                parts = [*_place_of(one), *parts]
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
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


def _sum_of(sample: logging.LogRecord, held: int, *, is_of_place: bool) -> logging.LogRecord:
    what = "lines like it" if is_of_place else "times the same"
    sample.msg = f"{sample.msg} (and {held} {what} within {WINDOW_S:g} s)"
    return sample

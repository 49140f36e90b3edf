"""Places in owners' code: the file and line at which an error of theirs is to be looked for."""

from __future__ import annotations

import inspect
import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Final

_ROOT: Final = Path(__file__).resolve().parents[1]
_NOT_OURS: Final = frozenset({"tests", "examples"})
_LIBRARIES: Final = tuple(
    sysconfig.get_paths()[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")
)


def error_place(error: BaseException) -> str:
    """Return `file.py:line` of the innermost frame of `error` that is an owner's; without one, of the
    innermost frame at all.
    """
    frames = list(_frames(error.__traceback__))
    if not frames:
        return ""
    owners = [frame for frame in frames if _is_owners(frame[0])]
    # An owner's file may lie beside our own modules.
    beside = [frame for frame in frames if Path(frame[0]).parent == _ROOT]
    file, line = (owners or beside or frames)[-1]
    return _shown(file, line)


def function_place(function: Callable[..., Any]) -> str:
    """Return `file.py:line` of a function's definition; empty if it has none."""
    found = inspect.unwrap(function)
    found = getattr(found, "func", found)  # of a partial
    code = getattr(found, "__code__", None) or getattr(type(found).__call__, "__code__", None)
    return "" if code is None else _shown(code.co_filename, code.co_firstlineno)


def _frames(traceback: TracebackType | None) -> Iterator[tuple[str, int]]:
    while traceback is not None:
        yield traceback.tb_frame.f_code.co_filename, traceback.tb_lineno
        traceback = traceback.tb_next


def _is_owners(file: str) -> bool:
    path = Path(file)
    if file.startswith(("<", *_LIBRARIES)):
        return False
    if not path.is_relative_to(_ROOT):
        return True
    first = path.relative_to(_ROOT).parts[0]
    if first == path.name:
        return False
    return first in _NOT_OURS or not (_ROOT / first / "__init__.py").exists()


def _shown(file: str, line: int) -> str:
    return f"{'/'.join(Path(file).parts[-2:])}:{line}"

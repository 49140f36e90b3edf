"""`Problem` and `AppError`: what is wrong with an owner's app, with file, line and remedy."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from parley.agent import InvalidDefinitionError

MAX_TEXT_CHARACTERS: Final = 500
MAX_PROBLEMS: Final = 20

_EXIT_REMEDY: Final = 'move it below `if __name__ == "__main__":`'


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing to mend. file: empty, and line 0, where it has no place"""

    text: str
    file: str = ""
    line: int = 0

    def __str__(self) -> str:
        return f"{_shown(self.file)}, line {self.line}: {self.text}" if self.file else self.text

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return asdict(self)


class AppError(Exception):
    """An app cannot be loaded; the text is one line for each problem."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)[:MAX_PROBLEMS]
        super().__init__("\n".join(map(str, self.problems)))


class LoadTimeoutError(BaseException):
    """The import of an app takes too long. Not an `Exception`: owners' code catches those."""


def problem_of(error: BaseException, is_owners: Callable[[str], bool]) -> Problem:
    """Return what an import raised as a problem at the innermost line of the owner's code.

    Args:
        is_owners: true for the path of a file of the owner's.
    """
    text = clip(_text_of(error))
    if isinstance(error, SyntaxError) and error.filename:
        return Problem(text, error.filename, error.lineno or 0)
    return Problem(text, *_place_of(error.__traceback__, is_owners))


def _text_of(error: BaseException) -> str:
    match error:
        case InvalidDefinitionError():
            return str(error)
        case LoadTimeoutError():
            return f"the import does not end within {error}: start work in a hook, not at import"
        case SyntaxError():
            line = (error.text or "").strip()
            return f"{error.msg}: {line}" if line else str(error.msg)
        case ModuleNotFoundError():
            remedy = "mind the name, or install it for the Python that runs the server"
            return f"{error.msg}; {remedy}"
        case SystemExit():
            return f"SystemExit: the file must not end the process; {_EXIT_REMEDY}"
    return f"{type(error).__name__}: {error}".rstrip(": ")


def _place_of(traceback: TracebackType | None, is_owners: Callable[[str], bool]) -> tuple[str, int]:
    place = ("", 0)
    while traceback is not None:
        file = traceback.tb_frame.f_code.co_filename
        if is_owners(file):
            place = (file, traceback.tb_lineno)
        traceback = traceback.tb_next
    return place


def clip(text: str) -> str:
    """Return the text as one line of bounded length."""
    line = " ".join(text.split())
    return line if len(line) <= MAX_TEXT_CHARACTERS else f"{line[: MAX_TEXT_CHARACTERS - 1]}…"


def _shown(file: str) -> str:
    """Return the path as the owner would write it from the working directory."""
    path = Path(file)
    cwd = Path(os.getcwd())
    return str(path.relative_to(cwd)) if path.is_relative_to(cwd) else file

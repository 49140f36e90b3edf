"""Variables of the process and of its `.env` file, read once when a command starts.

The process's own environment goes first: a variable that it has, even empty, is not taken from the
file. Values of the file are literal: `$NAME` and `${NAME}` stay as they are, because secrets may hold
a dollar sign. Nothing is put into `os.environ` here, so nothing of it reaches child processes.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

ENV_FILE_VARIABLE: Final = "PARLEY_ENV_FILE"
"""Names the file; empty: no file is read. Child processes are started with it empty."""

DEFAULT_ENV_FILE: Final = ".env"
MAX_ENV_FILE_BYTES: Final = 1_000_000

_NO_FILE: Final = f"or set {ENV_FILE_VARIABLE} to another file, or to nothing to read none"


@dataclass(frozen=True, slots=True)
class Environment:
    """Merged variables, and what is wrong with the file.

    Attributes:
        variables: Of the process and, where it has none of that name, of the file.
        from_file: The part that the file gave.
        places: File and line of each variable that the file gave.
        problems: A line each; values are never repeated.
    """

    variables: dict[str, str]
    from_file: dict[str, str] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)
    problems: tuple[str, ...] = ()


def read_environment(environ: Mapping[str, str]) -> Environment:
    """Merge `environ` with the file that it names, else with `.env` of the working directory.

    Never raises: a file that cannot be read, and lines that cannot, are among the problems.
    """
    named = environ.get(ENV_FILE_VARIABLE)
    path = Path(DEFAULT_ENV_FILE if named is None else named.strip())
    if named is not None and not named.strip():
        return Environment(dict(environ))
    try:
        text = _read(path)
    except FileNotFoundError:
        if named is None:
            return Environment(dict(environ))
        problem = f"{ENV_FILE_VARIABLE}: there is no file {path}"
        return Environment(dict(environ), problems=(problem,))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        problem = f"{path}: cannot be read ({reason}); mend it, {_NO_FILE}"
        return Environment(dict(environ), problems=(problem,))
    return _merge(environ, path, text)


def _read(path: Path) -> str:
    with path.open("rb") as file:
        data = file.read(MAX_ENV_FILE_BYTES + 1)
    if len(data) > MAX_ENV_FILE_BYTES:
        raise ValueError(f"larger than {MAX_ENV_FILE_BYTES} bytes")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError("not UTF-8 text") from error


def _merge(environ: Mapping[str, str], path: Path, text: str) -> Environment:
    # Not by `load_dotenv`: it skips lines that it cannot read, and fills os.environ.
    from dotenv.parser import parse_stream

    from_file: dict[str, str] = {}
    places: dict[str, str] = {}
    problems: list[str] = []
    for binding in parse_stream(io.StringIO(text)):
        # The parser counts blank lines before a statement as part of it.
        source = binding.original.string
        blank = source[: len(source) - len(source.lstrip())]
        place = f"{path}, line {binding.original.line + blank.count(chr(10))}"
        if binding.error:
            problems.append(f"{place}: is not NAME=VALUE, or a quote is not closed")
        elif binding.key is not None and binding.value is None:
            problems.append(f"{place}: no = follows the name; write NAME=VALUE")
        elif binding.key is not None and binding.key not in environ:
            from_file[binding.key], places[binding.key] = binding.value or "", place
    return Environment({**from_file, **environ}, from_file, places, tuple(problems))

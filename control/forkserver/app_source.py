"""`AppSource`: the app that a forkserver loads, and its loading there."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from control.forkserver.protocol import Part, PartKind, send_part, send_report

LOAD_DEADLINE_S: Final = 20.0
"""Longest import of an app."""

MAX_OUTPUT_LINES: Final = 1_000
"""Printed lines of one load that reach the log."""

_STANDARD_OUTPUT: Final = 1
_ERROR_OUTPUT: Final = 2


@dataclass(frozen=True)
class AppSource:
    """App to load.

    name: file, folder or dotted name (`parley.app.load`).
    variables: of the environment, for the app; other variables of the server do not reach it.
    load_s: deadline of the import.
    """

    name: str
    variables: Mapping[str, str] = field(default_factory=dict, repr=False)
    load_s: float = LOAD_DEADLINE_S

    def to_argument(self) -> str:
        """Return it as one word of a command line, without the values of variables."""
        return json.dumps([self.name, [*self.variables], self.load_s])

    @classmethod
    def from_argument(cls, text: str) -> AppSource:
        """Read `to_argument`; the values are those of this process's environment."""
        name, variables, load_s = json.loads(text)
        values = {each: os.environ[each] for each in variables if each in os.environ}
        return cls(name, values, load_s)


def load_and_report(source: AppSource, sock: socket.socket) -> bool:
    """Load the app in this process and make it the current one; report it over `sock`.

    Returns false if it cannot be loaded.
    """
    from control.forkserver.app_loading import load_app
    from parley.app import make_current
    from parley.load_problem import AppError

    report: dict[str, Any]
    try:
        with _output_to(sock):
            app, described = load_app(source.name, source.load_s)
    except AppError as error:
        report = {"problems": [each.to_json() for each in error.problems]}
        is_loaded = False
    else:
        report = {"agents": described, "files": app.files}
        make_current(app)
        is_loaded = True
    with contextlib.suppress(OSError):
        send_report(sock, json.dumps(report).encode())
    return is_loaded


@contextlib.contextmanager
def _output_to(sock: socket.socket) -> Iterator[None]:
    """Send what is printed to the server, a line at a time; what programs print goes to its log."""
    from logs.writer import LineStream

    count = 0

    def put(line: str) -> None:
        nonlocal count
        count += 1
        if count <= MAX_OUTPUT_LINES:
            with contextlib.suppress(OSError):
                send_part(sock, Part(PartKind.OUTPUT, line.encode(errors="replace")))

    streams = sys.stdout, sys.stderr
    output = os.dup(_STANDARD_OUTPUT)
    os.dup2(_ERROR_OUTPUT, _STANDARD_OUTPUT)
    sys.stdout = sys.stderr = stream = LineStream(_ERROR_OUTPUT, put)
    try:
        yield
    finally:
        stream.flush()
        sys.stdout, sys.stderr = streams
        os.dup2(output, _STANDARD_OUTPUT)
        os.close(output)

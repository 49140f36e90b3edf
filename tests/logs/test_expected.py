"""Expected errors are one line; bugs keep their traceback."""

from __future__ import annotations

import contextlib
import logging
import socket
import ssl
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import sqlalchemy.exc
from aiohttp.http_exceptions import BadHttpMessage, InvalidHeader
from yarl import URL

from control.ipc.link import LinkBrokenError
from conversation.lifecycle import AgentStartError, IllegalTransitionError
from logs.expected import _OWN, describe, is_expected
from logs.repeats import in_one_line
from realtime.model import ModelConnectError
from rtc.peer.peer import PeerError

WORLD: list[BaseException] = [
    ConnectionRefusedError(111, "Connection refused"),
    TimeoutError(),
    FileNotFoundError(2, "No such file or directory", "/no/such/program"),
    socket.gaierror(-2, "Name or service not known"),
    ssl.SSLError(1, "wrong version number"),
    aiohttp.ClientPayloadError("cut"),
    aiohttp.ClientConnectionResetError("Cannot write to closing transport"),
    BadHttpMessage("a header: Bearer secret"),
    sqlalchemy.exc.OperationalError("SELECT 1", None, Exception("database is locked")),
    LinkBrokenError("gone"),
    PeerError("no candidates"),
    ModelConnectError("refused", code="refused", is_retryable=True),
    AgentStartError("connecting", "unreachable", "127.0.0.1:9 refused the connection"),
    ExceptionGroup("tasks", [TimeoutError(), ExceptionGroup("more", [OSError("x")])]),
]
DEFECTS: list[BaseException] = [
    ValueError("x"),
    KeyError("x"),
    RuntimeError("x"),
    AssertionError(),
    RecursionError(),
    SystemExit(1),
    IllegalTransitionError("ready -> starting"),
    sqlalchemy.exc.InvalidRequestError("misuse"),
    ExceptionGroup("tasks", [TimeoutError(), ValueError("x")]),
]


@pytest.mark.parametrize("error", WORLD, ids=repr)
def test_what_others_did_is_one_line(error: Exception) -> None:
    assert is_expected(error)
    told = in_one_line(record(error))
    assert told.exc_info is None
    assert told.getMessage().startswith(f"task agent failed: {describe(error)}")
    assert type(error).__name__ in told.getMessage() or isinstance(error, ExceptionGroup)


@pytest.mark.parametrize("error", DEFECTS, ids=repr)
def test_what_we_did_wrong_keeps_its_traceback(error: BaseException) -> None:
    assert not is_expected(error)
    assert in_one_line(record(error)).exc_info


def record(error: BaseException) -> logging.LogRecord:
    with contextlib.suppress(BaseException):
        raise error
    exc_info: Any = (type(error), error, error.__traceback__)
    return logging.LogRecord("x", logging.ERROR, "/x.py", 1, "task %s failed", ("agent",), exc_info)


def test_a_phase_and_its_cause_are_named_and_nothing_twice() -> None:
    error = AgentStartError("connecting", "unreachable", "nothing listens there; check the port")
    text = (
        "AgentStartError in phase connecting (unreachable): nothing listens there; check the port"
    )
    assert in_one_line(record(error)).getMessage() == f"task agent failed: {text}"
    said = logging.LogRecord("x", logging.ERROR, "/x.py", 1, f"it is {text}", (), None)
    said.exc_info = (type(error), error, None)
    assert in_one_line(said).getMessage() == f"it is {text}"


@pytest.mark.parametrize(
    "error", [BadHttpMessage("Bearer sk-secret"), InvalidHeader(b"Authorization: sk-secret\r")]
)
def test_what_a_malformed_request_held_is_not_repeated(error: Exception) -> None:
    assert "sk-secret" in str(error)
    assert "sk-secret" not in in_one_line(record(error)).getMessage()


def test_each_member_of_a_group_is_described_once() -> None:
    group = ExceptionGroup("tasks", [OSError("a"), OSError("a"), TimeoutError()])
    assert describe(group) == "OSError: a; TimeoutError"
    assert describe(aiohttp.InvalidURL(URL("http://x"))) == "InvalidURL: http://x"


def test_every_module_and_package_of_the_project_is_known_as_its_own() -> None:
    root = Path(__file__).parents[2]
    modules = {path.stem for path in root.glob("*.py")}
    packages = {path.parent.name for path in root.glob("*/__init__.py")}
    assert modules | packages == _OWN | {"main", "bench", "tests"}

"""What a line of the log looks like."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logs import JsonFormatter, LineHandler, configure_logging, flush_logs, forward_line

ROOT = Path(__file__).resolve().parents[1]
LOG = logging.getLogger("agent")
CONTEXT = {"channel": "demo", "agent_id": "agent-12", "uid": 1000, "pid": 42}


@pytest.fixture(autouse=True)
def _restored(capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    root = logging.getLogger()
    handlers, level, raises = root.handlers[:], root.level, logging.raiseExceptions
    hooks = sys.excepthook, threading.excepthook, sys.stderr, sys.stdout
    yield
    for handler in root.handlers:
        if isinstance(handler, LineHandler):
            handler.writer.close(5.0)
    logging.captureWarnings(False)
    logging.raiseExceptions = raises
    root.handlers[:] = handlers
    root.setLevel(level)
    sys.excepthook, threading.excepthook, sys.stderr, sys.stdout = hooks


def said(capfd: pytest.CaptureFixture[str]) -> str:
    flush_logs(5.0)
    return capfd.readouterr().err


def lines(capfd: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in said(capfd).splitlines()]


def test_lines_of_text_carry_their_marks(capfd: pytest.CaptureFixture[str]) -> None:
    configure_logging("INFO", context=CONTEXT)
    LOG.info("here")
    line = said(capfd)
    assert "demo 1000 42 agent: here" in line
    assert line[8] == "."  # milliseconds after HH:MM:SS


@pytest.mark.parametrize(
    ("environ", "has_colours"),
    [
        ({}, False),
        ({"FORCE_COLOR": "1"}, True),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
        ({"FORCE_COLOR": "", "NO_COLOR": ""}, False),
    ],
)
def test_files_and_pipes_get_no_colours_unless_asked_for(
    environ: dict[str, str],
    has_colours: bool,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("FORCE_COLOR", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    configure_logging("INFO")
    LOG.warning("here")
    assert ("\x1b" in said(capfd)) is has_colours


@pytest.mark.parametrize(("term", "has_colours"), [("xterm", True), ("dumb", False)])
def test_a_terminal_gets_colours(
    term: str, has_colours: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("FORCE_COLOR", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", term)
    master, slave = os.openpty()
    before = os.dup(2)
    os.dup2(slave, 2)
    try:
        configure_logging("INFO")
        LOG.warning("here")
        flush_logs(5.0)
        line = os.read(master, 1_000)
    finally:
        os.dup2(before, 2)
        for fd in (before, master, slave):
            os.close(fd)
    assert (b"\x1b[33mWARNING" in line) is has_colours
    assert b"here" in line


def test_what_is_printed_is_part_of_the_log(capfd: pytest.CaptureFixture[str]) -> None:
    configure_logging("INFO", log_format="json", secrets=["a-secret-word"])
    print("a library\nsays a-secret-word", file=sys.stderr)
    one, two = lines(capfd)
    assert (one["logger"], one["message"], two["message"]) == ("output", "a library", "says ***")


def test_what_is_printed_has_no_level_and_is_never_counted(
    capfd: pytest.CaptureFixture[str],
) -> None:
    configure_logging("ERROR", log_format="json")
    for _ in range(20):
        print("main: no such port", file=sys.stderr)
    assert [line["message"] for line in lines(capfd)] == ["main: no such port"] * 20


def test_a_secret_in_a_traceback_is_hidden(capfd: pytest.CaptureFixture[str]) -> None:
    configure_logging("INFO", secrets=["a-secret-word"])
    try:
        int("a-secret-word")
    except ValueError:
        LOG.exception("it failed with %s", "a-secret-word")
    text = said(capfd)
    assert "Traceback" in text
    assert "a-secret-word" not in text


class CircularError(Exception):
    """As a member of a group whose cause is the group."""

    def __str__(self) -> str:
        raise RecursionError


def test_nothing_about_a_record_reaches_whoever_logs(capfd: pytest.CaptureFixture[str]) -> None:
    configure_logging("INFO")
    error = CircularError()
    error.__context__ = ExceptionGroup("tasks", [error])
    LOG.error("task failed", exc_info=error)
    LOG.error("%d %s", *["x"])
    LOG.error(CircularError())
    assert len(said(capfd).splitlines()) >= 3


def test_a_json_line_has_time_level_logger_and_context(capfd: pytest.CaptureFixture[str]) -> None:
    configure_logging("INFO", log_format="json", context=CONTEXT)
    LOG.warning("one\ntwo %s", "ü")
    LOG.debug("not told")
    (line,) = lines(capfd)
    assert line.pop("time").endswith("Z")
    assert line == {"level": "WARNING", "logger": "agent", "message": "one\ntwo ü", **CONTEXT}


def test_an_exception_is_part_of_its_line(capfd: pytest.CaptureFixture[str]) -> None:
    configure_logging("INFO", log_format="json")
    try:
        int("on purpose")
    except ValueError:
        LOG.exception("it failed")
    (line,) = lines(capfd)
    assert line["message"] == "it failed"
    assert line["exception"].startswith("Traceback")
    assert "on purpose" in line["exception"]


def test_what_ends_a_process_or_a_thread_and_warnings_are_lines_too(
    capfd: pytest.CaptureFixture[str],
) -> None:
    configure_logging("INFO", log_format="json")
    error = RuntimeError("a defect")
    sys.excepthook(RuntimeError, error, None)
    threading.excepthook(threading.ExceptHookArgs((RuntimeError, error, None, None)))
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("old ways", DeprecationWarning, stacklevel=1)
    process, thread, warning = lines(capfd)
    assert "a defect" in process["exception"]
    assert "a defect" in thread["exception"]
    assert "old ways" in warning["message"]


def test_other_programs_lines_are_put_into_ours(capfd: pytest.CaptureFixture[str]) -> None:
    configure_logging("INFO", log_format="json")
    theirs = JsonFormatter({"process": "model"})
    record = logging.LogRecord("model", logging.INFO, "", 0, "ready", None, None)
    assert forward_line(theirs.format(record) + "\n") == "ready"
    assert forward_line("onnx: hm\n") == "onnx: hm"
    assert forward_line("[1]\n") == "[1]"
    said, native, odd = lines(capfd)
    assert (said["process"], said["message"]) == ("model", "ready")
    assert (native["logger"], native["message"]) == ("output", "onnx: hm")
    assert odd["message"] == "[1]"


def test_text_is_passed_on_as_it_is(capfd: pytest.CaptureFixture[str]) -> None:
    configure_logging("INFO")
    assert forward_line("main: no model\n") == "main: no model"
    assert said(capfd) == "main: no model\n"


@given(st.text(), st.dictionaries(st.text(min_size=1), st.text(), max_size=3))
def test_whatever_is_said_is_one_line_that_parses(message: str, context: dict[str, str]) -> None:
    record = logging.LogRecord("x", logging.INFO, "", 0, "%s", (message,), None)
    text = JsonFormatter(context).format(record)
    assert len(text.splitlines()) == 1
    assert "message" in context or json.loads(text)["message"] == message


_LOUD = """
import logging
import bridge.websocket, cli.commands, control.child.main, control.run, scenarios.runner, speech.server
import speech.language_model.chat_client, toolsets.mcp, toolsets.mcp_process
from logs import configure_logging

configure_logging("DEBUG")
known = logging.root.manager.loggerDict
print(*{name.split(".")[0] for name in known if logging.getLogger(name).isEnabledFor(logging.INFO)})
"""


def test_at_debug_libraries_are_silent() -> None:
    """Theirs would hold each statement and frame, with what people say in it."""
    done = subprocess.run(
        [sys.executable, "-c", _LOUD], cwd=ROOT, capture_output=True, text=True, check=True
    )
    ours = {path.stem for path in ROOT.iterdir()}
    # Loggers of ours that are named after what they tell of.
    ours |= {"app", "call", "httpd", "process", "scenario", "settings"}
    assert {"control", "realtime", "tools"} <= set(done.stdout.split()) <= ours

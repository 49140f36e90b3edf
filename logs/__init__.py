"""Log output: lines on standard error, written by a thread without blocking the caller."""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import sys
import threading
import time
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any, Final, Literal

from logs.lines import JsonFormatter, LineFormatter, TextFormatter, escape
from logs.repeats import Repeats, in_one_line
from logs.secrets import Secrets
from logs.writer import LineStream, LineWriter, is_terminal, try_write
from untrusted.json_reader import InvalidJsonError, read_object

__all__ = [
    "JsonFormatter",
    "LogFormat",
    "configure_logging",
    "flush_logs",
    "forward_line",
    "guard_error_output",
    "guard_standard_output",
    "lost_lines",
    "say",
]

LogFormat = Literal["text", "json"]

FLUSH_DEADLINE_S: Final = 0.5
"""Time to flush at the end of a process, for a slow reader."""

# Loggers of libraries, silent below WARNING: at DEBUG they log each statement, frame and request, with
# the words and keys in it.
_LIBRARIES: Final = (
    *("aiohttp", "aioice", "aiortc", "aiosqlite", "alembic", "asyncio", "asyncpg"),
    *("charset_normalizer", "client", "concurrent", "google", "httpcore", "httpx", "httpx2"),
    *("libav", "mcp", "openai", "opentelemetry", "requests", "sqlalchemy", "sse_starlette"),
    *("urllib3", "uvicorn", "watchfiles", "websockets"),
)
_ERROR_OUTPUT: Final = 2
_STANDARD_OUTPUT: Final = 1

_log = logging.getLogger("process")
# The writer of standard output, if it is guarded.
_printing: list[LineWriter] = []


class LineHandler(logging.Handler):
    """Turns records into lines of a writer: bounded, escaped, without secrets, repeats counted."""

    def __init__(
        self, formatter: LineFormatter, secrets: Secrets, *, fd: int = _ERROR_OUTPUT
    ) -> None:
        super().__init__()
        self.setFormatter(formatter)
        self.writer = LineWriter(fd, format_lost=self._format_lost)
        self._secrets = secrets
        self._repeats = Repeats()

    def emit(self, record: logging.LogRecord) -> None:
        """Hand the record's line to the writer; never raises."""
        try:
            now_s = time.monotonic()
            self.sum_up(now_s)
            if not self._is_verbose():
                record = in_one_line(record)
            shown = self._repeats.judge(record, now_s)
            if shown is not None:
                self.write(shown)
        except Exception as error:  # noqa: BLE001 - the `str` of an argument may raise anything
            place = f"{record.pathname}:{record.lineno}"
            self.say(f"a record cannot be formatted: {type(error).__name__} at {place}")

    def sum_up(self, now_s: float, *, is_end: bool = False) -> None:
        """Write summaries of suppressed lines whose window is over."""
        self.acquire()
        try:
            for record in self._repeats.due(now_s, is_end=is_end):
                self.write(record)
        finally:
            self.release()

    def say(self, text: str) -> None:
        """Write a line that is not a record, escaped."""
        self.writer.put(escape(self._secrets.hide(text)))

    def _is_verbose(self) -> bool:
        return logging.getLogger().level <= logging.DEBUG

    def write(self, record: logging.LogRecord) -> None:
        """Write the record's line, without counting repeats."""
        self.writer.put(self.format(record))

    def _format_lost(self, count: int, reason: str) -> str:
        record = logging.LogRecord(
            "logs", logging.WARNING, "", 0, "%d lines were lost: %s", (count, reason), None
        )
        return self.format(record)

    def flush(self) -> None:
        """Do nothing: only `flush_logs` waits."""


def configure_logging(
    level: str = "INFO",
    *,
    log_format: str = "text",
    context: Mapping[str, Any] | None = None,
    secrets: Iterable[str] = (),
) -> None:
    """Log to standard error, replacing an earlier configuration. `sys.stderr` is redirected too, so
    that printing to it never blocks.

    log_format: `text` or `json`
    context: added to each line (channel, agent_id, uid, pid)
    secrets: masked in every line
    """
    is_json = log_format == "json"
    hidden = Secrets(secrets)
    handler = LineHandler(_formatter(is_json, context or {}, hidden), hidden)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # A record that cannot be formatted must not print a stack to standard error.
    logging.raiseExceptions = False
    for library in _LIBRARIES:
        logging.getLogger(library).setLevel(max(logging.WARNING, root.level))
    logging.captureWarnings(is_json)
    sys.excepthook = _log_uncaught if is_json else sys.__excepthook__
    threading.excepthook = _log_uncaught_of_thread if is_json else threading.__excepthook__
    sys.stderr = LineStream(_ERROR_OUTPUT, _log_output if is_json else handler.say)
    atexit.unregister(flush_logs)
    atexit.register(flush_logs)


def _formatter(is_json: bool, context: Mapping[str, Any], secrets: Secrets) -> LineFormatter:
    if is_json:
        return JsonFormatter(context, secrets)
    return TextFormatter(context, has_colours=_has_colours(), secrets=secrets)


def _has_colours() -> bool:
    """Return true for a terminal; NO_COLOR and FORCE_COLOR override it."""
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return is_terminal(_ERROR_OUTPUT) and os.environ.get("TERM") != "dumb"


def _line_handlers() -> list[LineHandler]:
    return [one for one in logging.getLogger().handlers if isinstance(one, LineHandler)]


def flush_logs(deadline_s: float = FLUSH_DEADLINE_S) -> None:
    """Write all pending lines within the deadline, at the end of the process."""
    sys.stderr.flush()
    deadline_s += time.monotonic()
    for handler in _line_handlers():
        handler.sum_up(time.monotonic(), is_end=True)
        handler.writer.flush(deadline_s - time.monotonic())
    for writer in _printing:
        writer.flush(deadline_s - time.monotonic())


def lost_lines() -> int:
    """Return the number of lines of this process that were lost."""
    return sum(handler.writer.lost for handler in _line_handlers())


def guard_error_output() -> None:
    """Make `sys.stderr` non-blocking without a thread: a line is written at once or dropped."""
    sys.stderr = LineStream(_ERROR_OUTPUT, _write_now)


def _write_now(line: str) -> None:
    try_write(_ERROR_OUTPUT, f"{line}\n".encode(errors="backslashreplace"))


def guard_standard_output() -> None:
    """Make `sys.stdout` non-blocking: a stuck reader must not stop the process."""
    if not _printing:
        _printing.append(LineWriter(_STANDARD_OUTPUT))
    sys.stdout = LineStream(_STANDARD_OUTPUT, _printing[0].put)


def say(line: str) -> None:
    """Print a line to standard output, ignoring a closed one."""
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()


def _log_uncaught(
    kind: type[BaseException], error: BaseException, traceback: TracebackType | None
) -> None:
    """Log an uncaught exception as one line."""
    _log.critical("uncaught %s, process exits", kind.__name__, exc_info=(kind, error, traceback))


def _log_uncaught_of_thread(arguments: threading.ExceptHookArgs) -> None:
    error = arguments.exc_value
    _log.critical("uncaught %s, thread exits", arguments.exc_type.__name__, exc_info=error)


def _log_output(line: str) -> None:
    """Log a printed line as a record, regardless of level and repeats."""
    if line.strip():
        record = logging.LogRecord("output", logging.WARNING, "", 0, "%s", (line,), None)
        for handler in _line_handlers():
            handler.write(record)


def forward_line(line: str) -> str:
    """Forward a log line of another program in this format; return its message."""
    text = line.strip()
    message = _message_of(text)
    for handler in _line_handlers():
        if isinstance(handler.formatter, JsonFormatter) and message is None:
            _log_output(text)
        else:
            handler.say(line.rstrip())
    return message if message is not None else text


def _message_of(text: str) -> str | None:
    """Return the message of a `JsonFormatter` line; None for any other line."""
    try:
        return str(read_object(text)["message"])
    except (InvalidJsonError, KeyError):
        return None

"""Where log records go: lines on the error output, written by a thread that nobody waits for."""

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

from json_reader import InvalidJsonError, read_object
from logs.lines import JsonFormatter, LineFormatter, TextFormatter, escape
from logs.repeats import Repeats, in_one_line
from logs.secrets import Secrets
from logs.writer import LineStream, LineWriter, is_terminal, try_write

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
"""At the end of a process, for a reader that is slow."""

_NOISY: Final = ("aioice", "aiortc", "aiohttp.access", "alembic", "asyncio", "opentelemetry")
_ERROR_OUTPUT: Final = 2
_STANDARD_OUTPUT: Final = 1

_log = logging.getLogger("process")
# The writer of the standard output, where it is guarded.
_printing: list[LineWriter] = []


class LineHandler(logging.Handler):
    """Records become lines of a writer: bounded, escaped, without secrets, repeated ones counted."""

    def __init__(
        self, formatter: LineFormatter, secrets: Secrets, *, fd: int = _ERROR_OUTPUT
    ) -> None:
        super().__init__()
        self.setFormatter(formatter)
        self.writer = LineWriter(fd, tell_lost=self._tell_lost)
        self._secrets = secrets
        self._repeats = Repeats()

    def emit(self, record: logging.LogRecord) -> None:
        """Hand its line to the writer; nothing that is wrong with it reaches whoever logs."""
        try:
            now_s = time.monotonic()
            self.sum_up(now_s)
            if not self._tells_everything():
                record = in_one_line(record)
            told = self._repeats.judge(record, now_s)
            if told is not None:
                self.tell(told)
        except Exception as error:  # noqa: BLE001 - an argument's own text may raise whatever it likes
            place = f"{record.pathname}:{record.lineno}"
            self.say(f"a line cannot be told: {type(error).__name__} at {place}")

    def sum_up(self, now_s: float, *, is_end: bool = False) -> None:
        """Tell what was held back, where its time is over."""
        self.acquire()
        try:
            for record in self._repeats.due(now_s, is_end=is_end):
                self.tell(record)
        finally:
            self.release()

    def say(self, text: str) -> None:
        """A line that is no record: as it is, but for what would forge others."""
        self.writer.put(escape(self._secrets.hide(text)))

    def _tells_everything(self) -> bool:
        return logging.getLogger().level <= logging.DEBUG

    def tell(self, record: logging.LogRecord) -> None:
        """Its line, without a look at what was told before."""
        self.writer.put(self.format(record))

    def _tell_lost(self, count: int, reason: str) -> str:
        record = logging.LogRecord(
            "logs", logging.WARNING, "", 0, "%d lines were lost: %s", (count, reason), None
        )
        return self.format(record)

    def flush(self) -> None:
        """Nothing to do for others: only `flush_logs` waits."""


def configure_logging(
    level: str = "INFO",
    *,
    log_format: str = "text",
    context: Mapping[str, Any] | None = None,
    secrets: Iterable[str] = (),
) -> None:
    """Log to the error output. Replaces what was configured before, so that a child binds its own
    marks. `sys.stderr` becomes part of it, so that nothing that is printed there can wait either.

    log_format: `text` or `json`
    context: (channel, agent_id, uid, pid) marks each line
    secrets: never told, whoever puts them into a line
    """
    is_json = log_format == "json"
    hidden = Secrets(secrets)
    handler = LineHandler(_formatter(is_json, context or {}, hidden), hidden)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # A record that cannot be told is no reason to print a stack where nobody may read.
    logging.raiseExceptions = False
    for noisy in _NOISY:
        logging.getLogger(noisy).setLevel(max(logging.WARNING, root.level))
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
    """Colours are for terminals; both ways of asking otherwise are heard."""
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return is_terminal(_ERROR_OUTPUT) and os.environ.get("TERM") != "dumb"


def _line_handlers() -> list[LineHandler]:
    return [one for one in logging.getLogger().handlers if isinstance(one, LineHandler)]


def flush_logs(deadline_s: float = FLUSH_DEADLINE_S) -> None:
    """Wait, but not for long, until everything is written and printed: the process ends."""
    sys.stderr.flush()
    deadline_s += time.monotonic()
    for handler in _line_handlers():
        handler.sum_up(time.monotonic(), is_end=True)
        handler.writer.flush(deadline_s - time.monotonic())
    for writer in _printing:
        writer.flush(deadline_s - time.monotonic())


def lost_lines() -> int:
    """Lines of this process that could not be written."""
    return sum(handler.writer.lost for handler in _line_handlers())


def guard_error_output() -> None:
    """For a process that must have no thread yet: what is printed is written at once or dropped."""
    sys.stderr = LineStream(_ERROR_OUTPUT, _write_now)


def _write_now(line: str) -> None:
    try_write(_ERROR_OUTPUT, f"{line}\n".encode(errors="backslashreplace"))


def guard_standard_output() -> None:
    """For a process that lives on whoever reads what it prints."""
    if not _printing:
        _printing.append(LineWriter(_STANDARD_OUTPUT))
    sys.stdout = LineStream(_STANDARD_OUTPUT, _printing[0].put)


def say(line: str) -> None:
    """Print a line for people, if anybody takes it."""
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()


def _log_uncaught(
    kind: type[BaseException], error: BaseException, traceback: TracebackType | None
) -> None:
    """What ends a process is a line like any other."""
    _log.critical("it ends: %s", kind.__name__, exc_info=(kind, error, traceback))


def _log_uncaught_of_thread(arguments: threading.ExceptHookArgs) -> None:
    error = arguments.exc_value
    _log.critical("a thread ends: %s", arguments.exc_type.__name__, exc_info=error)


def _log_output(line: str) -> None:
    """What was printed, as a record: whatever the level, and however often."""
    if line.strip():
        record = logging.LogRecord("output", logging.WARNING, "", 0, "%s", (line,), None)
        for handler in _line_handlers():
            handler.tell(record)


def forward_line(line: str) -> str:
    """Pass on a line of another program's log, in our format; returns what it says."""
    text = line.strip()
    message = _message_of(text)
    for handler in _line_handlers():
        if isinstance(handler.formatter, JsonFormatter) and message is None:
            _log_output(text)
        else:
            handler.say(line.rstrip())
    return message if message is not None else text


def _message_of(text: str) -> str | None:
    """None: it is no line of `JsonFormatter`."""
    try:
        return str(read_object(text)["message"])
    except (InvalidJsonError, KeyError):
        return None

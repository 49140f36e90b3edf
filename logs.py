"""Where log records go and what their lines look like: coloured text, or one JSON object a line."""

from __future__ import annotations

import json
import logging
import sys
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Final, Literal

import colorlog

LogFormat = Literal["text", "json"]

_TEXT: Final = "%(asctime)s.%(msecs)03d %(log_color)s%(levelname)-7s%(reset)s %(name)s: %(message)s"
_NOISY: Final = ("aioice", "aiortc", "aiohttp.access", "alembic", "asyncio", "opentelemetry")

_log = logging.getLogger("process")


def configure_logging(
    level: str = "INFO", *, log_format: str = "text", context: Mapping[str, Any] | None = None
) -> None:
    """Log to stderr. Replaces what was configured before, so that a child binds its own marks.

    log_format: `text` or `json`
    context: (channel, agent_id, uid, pid) marks each line
    """
    handler = colorlog.StreamHandler()
    handler.setFormatter(_formatter(log_format, context or {}))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for noisy in _NOISY:
        logging.getLogger(noisy).setLevel(max(logging.WARNING, root.level))
    is_json = log_format == "json"
    logging.captureWarnings(is_json)
    sys.excepthook = _log_uncaught if is_json else sys.__excepthook__
    threading.excepthook = _log_uncaught_of_thread if is_json else threading.__excepthook__


def _formatter(log_format: str, context: Mapping[str, Any]) -> logging.Formatter:
    if log_format == "json":
        return JsonFormatter(context)
    # An agent's id is long, and its channel, uid and pid name it for people.
    marks = [str(value) for name, value in context.items() if name != "agent_id"]
    text = _TEXT.replace("%(name)s", " ".join([*marks, "%(name)s"]))
    return colorlog.ColoredFormatter(text, datefmt="%H:%M:%S")


class JsonFormatter(logging.Formatter):
    """`time` (ISO 8601, UTC), `level`, `logger`, `message`, the context, `exception` if any."""

    def __init__(self, context: Mapping[str, Any]) -> None:
        super().__init__()
        self._context = dict(context)

    def format(self, record: logging.LogRecord) -> str:
        """One line, whatever the message contains."""
        at = datetime.fromtimestamp(record.created, UTC)
        line: dict[str, Any] = {
            "time": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **self._context,
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            line["stack"] = record.stack_info
        return json.dumps(line, default=str)


def _log_uncaught(
    kind: type[BaseException], error: BaseException, traceback: TracebackType | None
) -> None:
    """What ends a process is a line like any other."""
    _log.critical("it ends: %s", kind.__name__, exc_info=(kind, error, traceback))


def _log_uncaught_of_thread(arguments: threading.ExceptHookArgs) -> None:
    error = arguments.exc_value
    _log.critical("a thread ends: %s", arguments.exc_type.__name__, exc_info=error)


def forward_line(line: str) -> str:
    """Pass on a line of another program's log, in our format; returns what it says."""
    text = line.strip()
    message = _message_of(text)
    root = logging.getLogger()
    is_json = any(isinstance(handler.formatter, JsonFormatter) for handler in root.handlers)
    if is_json and message is None and text:
        logging.getLogger("output").warning("%s", text)
    else:
        sys.stderr.write(line)
    return message if message is not None else text


def _message_of(text: str) -> str | None:
    """None: it is no line of `JsonFormatter`."""
    try:
        return str(json.loads(text)["message"])
    except (ValueError, TypeError, KeyError):
        return None

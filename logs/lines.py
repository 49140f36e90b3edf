"""Log line formats: coloured text, or one JSON object. Foreign text cannot end a line or control
a terminal.
"""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from logs.secrets import Secrets

MAX_MESSAGE_CHARACTERS: Final = 16_000
MAX_EXCEPTION_CHARACTERS: Final = 24_000

_COLOURS: Final = {
    logging.DEBUG: "\x1b[37m",
    logging.INFO: "\x1b[32m",
    logging.WARNING: "\x1b[33m",
    logging.ERROR: "\x1b[31m",
    logging.CRITICAL: "\x1b[1;31m",
}
_NO_COLOUR: Final = "\x1b[0m"
# C0 and C1 controls, Unicode line ends, bidirectional controls, lone surrogates.
_UNSAFE: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\u2028\u2029\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
_NAMED: Final = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
_CONTINUED: Final = "    | "


def escape(text: str) -> str:
    """Return the text with line ends and controls written out: `\\n`, `\\x1b`, `\\u202e`."""
    return _UNSAFE.sub(_escape_one, text)


def _escape_one(found: re.Match[str]) -> str:
    character = found.group()
    code = ord(character)
    return _NAMED.get(character) or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")


def shorten_text(text: str, limit: int) -> str:
    """Return the text, without its middle if it exceeds `limit`."""
    if len(text) <= limit:
        return text
    half = limit // 2
    return f"{text[:half]} … ({len(text)} characters) … {text[-half:]}"


class LineFormatter(logging.Formatter):
    """Common part: message and exception of a record, bounded and without secrets."""

    def __init__(self, secrets: Secrets | None = None) -> None:
        super().__init__()
        # Applied before quoting and truncating, after which secrets could not be found.
        self._hide = (secrets or Secrets()).hide

    def message_of(self, record: logging.LogRecord) -> str:
        """Return the message; one that does not fit its arguments is returned unformatted."""
        try:
            text = record.getMessage()
        except Exception:  # noqa: BLE001 - the `str` of an argument may raise anything
            text = f"{record.msg!s} (its arguments do not fit, {record.pathname}:{record.lineno})"
        return shorten_text(self._hide(text), MAX_MESSAGE_CHARACTERS)

    def exception_of(self, record: logging.LogRecord) -> str:
        """Return the traceback or its replacement; empty without an exception."""
        if record.exc_info and record.exc_info[0] is not None:
            text = self.formatException(record.exc_info)
        else:
            text = record.exc_text or ""
        return shorten_text(self._hide(text), MAX_EXCEPTION_CHARACTERS)


class TextFormatter(LineFormatter):
    """`HH:MM:SS.mmm LEVEL marks logger: message`; lines of a traceback follow, each one marked."""

    def __init__(
        self,
        context: Mapping[str, Any],
        *,
        has_colours: bool,
        secrets: Secrets | None = None,
    ) -> None:
        super().__init__(secrets)
        # Left out in text, as it is long: channel, uid and pid identify the agent.
        marks = [escape(str(value)) for name, value in context.items() if name != "agent_id"]
        self._marks = "".join(f"{mark} " for mark in marks)
        self._has_colours = has_colours

    def format(self, record: logging.LogRecord) -> str:
        """Return the record's line, followed by its traceback's."""
        at = time.strftime("%H:%M:%S", time.localtime(record.created))
        level = f"{record.levelname:<7}"
        if self._has_colours:
            level = f"{_COLOURS.get(record.levelno, '')}{level}{_NO_COLOUR}"
        message = escape(self.message_of(record))
        name = escape(record.name)
        lines = [f"{at}.{int(record.msecs):03d} {level} {self._marks}{name}: {message}"]
        for more in (self.exception_of(record), record.stack_info or ""):
            lines += [_CONTINUED + escape(line) for line in more.split("\n") if line]
        return "\n".join(lines)


class JsonFormatter(LineFormatter):
    """`time` (ISO 8601, UTC), `level`, `logger`, `message`, the context, `exception` if any."""

    def __init__(self, context: Mapping[str, Any], secrets: Secrets | None = None) -> None:
        super().__init__(secrets)
        self._context = dict(context)

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one JSON line."""
        at = datetime.fromtimestamp(record.created, UTC)
        line: dict[str, Any] = {
            "time": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
            "message": self.message_of(record),
            **self._context,
        }
        if exception := self.exception_of(record):
            line["exception"] = exception
        if record.stack_info:
            line["stack"] = record.stack_info
        # The only control that JSON does not escape.
        return json.dumps(line, default=str).replace("\x7f", "\\u007f")

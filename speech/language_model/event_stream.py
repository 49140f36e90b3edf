"""Server-sent events from bytes, with a bound on each line. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

MAX_EVENT_BYTES: Final = 1024 * 1024
"""Longer lines and events are refused: a whole tool call may come in one."""

DONE: Final = "[DONE]"


class EventTooLongError(Exception):
    """A line or an event exceeds the bound."""


class EventStreamDecoder:
    """Splits bytes, in pieces of any size, into the data of events.

    Lines end with LF, CR LF or CR; comments and other fields are skipped. Bytes that are not UTF-8
    are replaced: they spoil a word, and not the reply.
    """

    def __init__(self) -> None:
        self._line = bytearray()
        self._data: list[bytes] = []
        self._data_bytes = 0
        self._skips_newline = False

    def push(self, data: bytes) -> Iterator[str]:
        """Yield the events that are complete.

        Raises:
            EventTooLongError: a line or an event exceeds `MAX_EVENT_BYTES`.
        """
        for piece in data.splitlines(keepends=True):
            if self._skips_newline and piece == b"\n":
                self._skips_newline = False
                continue
            self._skips_newline = piece.endswith(b"\r")
            self._line += piece
            if len(self._line) > MAX_EVENT_BYTES:
                raise EventTooLongError(f"a line of more than {MAX_EVENT_BYTES} bytes")
            if piece.endswith((b"\n", b"\r")):
                line = bytes(self._line).rstrip(b"\r\n")
                self._line.clear()
                yield from self._take(line)

    def flush(self) -> Iterator[str]:
        """Yield what a stream left that ended without a blank line."""
        yield from self._take(bytes(self._line).rstrip(b"\r\n"))
        yield from self._take(b"")
        self._line.clear()

    def _take(self, line: bytes) -> Iterator[str]:
        if not line:
            data, self._data, self._data_bytes = self._data, [], 0
            if data:
                yield b"\n".join(data).decode(errors="replace")
        elif line.startswith(b"data:"):
            value = line.removeprefix(b"data:").removeprefix(b" ")
            self._data_bytes += len(value)
            if self._data_bytes > MAX_EVENT_BYTES:
                raise EventTooLongError(f"an event of more than {MAX_EVENT_BYTES} bytes")
            self._data.append(value)

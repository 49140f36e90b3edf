"""Failures of lines as one type: `LineError` with a machine word."""

from __future__ import annotations


class LineError(Exception):
    """The line could not be joined or used. `code` names the kind, the text the remedy.

    Codes of every line: closed (not connected, or not any more), unknown_member.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code

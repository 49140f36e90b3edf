"""Reasons for the end of a provider's socket, and if a new one can be expected to work. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from utils import shorten

_REFUSING_CODES: Final = frozenset({1002, 1003, 1007, 1008, 1009, 1010})
"""Close codes by which a server says that it is our messages it does not want."""

_WORDS: Final = {
    "session_expired": "session_expired",
    "maximum duration": "session_expired",
    "idle": "idle",
    "timeout": "idle",
    "timed out": "idle",
    "rate_limit": "rate_limited",
}
_ERROR_CODE: Final = re.compile(r"^[a-z_]+_error\.([a-z0-9_]{1,64})$")


@dataclass(frozen=True, slots=True)
class CloseReason:
    """The fields of a `SessionEnded`."""

    reason: str
    code: str = "disconnected"
    is_retryable: bool = True


CLOSED_BY_US: Final = CloseReason("closed by us", "closed", is_retryable=False)


_VIOLATIONS: Final = {
    1007: "it sent text that is not UTF-8",
    1009: "it sent a message beyond our limit",
}


def read_violation(close_code: int) -> CloseReason:
    """We closed the connection with this code, since what came breaks the WebSocket protocol.

    Whatever it was, a new session need not begin with the same.
    """
    what = _VIOLATIONS.get(close_code, "it broke the WebSocket protocol")
    reason = f"closed the provider's connection: {what} (close code {close_code})"
    return CloseReason(reason, "protocol_violation")


def read_close(close_code: int | None, text: str = "", error: str = "") -> CloseReason:
    """An ending as the socket shows it.

    text: what the server said with its close code
    error: name of the network error, if it was one
    """
    said = str(shorten(text)) if text else ""
    parts = [part for part in (f"close code {close_code}", said, error) if part]
    reason = f"the provider's connection ended ({', '.join(parts)})"
    if (named := _ERROR_CODE.match(text)) is not None:
        return CloseReason(reason, named.group(1), is_retryable=False)
    lowered = text.lower()
    for words, code in _WORDS.items():
        if words in lowered:
            return CloseReason(reason, code)
    if close_code is not None and (close_code in _REFUSING_CODES or close_code >= 4000):
        return CloseReason(reason, f"closed_{close_code}", is_retryable=False)
    return CloseReason(reason)

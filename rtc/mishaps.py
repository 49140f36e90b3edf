"""What to say of an exception that nobody expected, where input of others was handled.

aiortc and aioice raise whatever comes to hand on input that they do not expect; that is said quietly,
since anybody may send as much of it as they like. An exception of our own is a defect, and is said
once, in one line: where it arose and of which type, without its text, which may repeat the input.
"""

from __future__ import annotations

import logging
from typing import Final

_OTHERS: Final = ("aiortc", "aioice", "pyee", "dns", "pylibsrtp", "OpenSSL")
_said: set[str] = set()


def note_mishap(log: logging.Logger, what: str, error: BaseException) -> None:
    """Log that handling `what` raised `error`."""
    place, module = _origin(error)
    if module.partition(".")[0] in _OTHERS:
        log.debug("%s was left out: %s at %s", what, type(error).__name__, place)
        return
    text = f"{type(error).__name__} at {place}"
    level = logging.DEBUG if text in _said else logging.ERROR
    _said.add(text)
    log.log(level, "%s could not be handled: %s", what, text)


def describe_mishap(error: BaseException) -> str:
    """Type and place of `error`, for a line of the log."""
    return f"{type(error).__name__} at {_origin(error)[0]}"


def _origin(error: BaseException) -> tuple[str, str]:
    """Module and line where `error` arose, and the module's name."""
    trace = error.__traceback__
    if trace is None:
        return "an unknown place", ""
    while trace.tb_next is not None:
        trace = trace.tb_next
    module = str(trace.tb_frame.f_globals.get("__name__", ""))
    return f"{module}:{trace.tb_lineno}", module

"""Log lines about unexpected exceptions in the handling of foreign input.

aiortc and aioice raise arbitrary exceptions on unexpected input; these are logged at DEBUG, since a
client can cause any number of them. An exception of our own code is a defect, and is logged once, in
one line: its place and type, without its text, which may repeat the input.
"""

from __future__ import annotations

import logging
from typing import Final

_OTHERS: Final = ("aiortc", "aioice", "pyee", "dns", "pylibsrtp", "OpenSSL")
_said: set[str] = set()


def log_unexpected(log: logging.Logger, what: str, error: BaseException) -> None:
    """Log that handling `what` raised `error`."""
    place, module = _origin(error)
    if module.partition(".")[0] in _OTHERS:
        log.debug("%s was ignored: %s at %s", what, type(error).__name__, place)
        return
    text = f"{type(error).__name__} at {place}"
    level = logging.DEBUG if text in _said else logging.ERROR
    _said.add(text)
    log.log(level, "%s could not be handled: %s", what, text)


def describe_unexpected(error: BaseException) -> str:
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

"""Failures of requests: kinds, retries, and the log's words for them. Pure."""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from speech.language_model.chunks import StreamError
from speech.language_model.protocol import FailureKind

MAX_RETRY_AFTER_S: Final = 2.0
"""A server that asks for more patience has failed for now: the caller is waiting."""

_RETRY_DELAY_S: Final = 0.25
_LOADING_DELAY_S: Final = 0.5
_MAX_LOG_CHARACTERS: Final = 200
_REFUSED: Final = frozenset({401, 402, 403, 404, 405, 407})
_CONTEXT_WORDS: Final = re.compile(
    r"context[ _-]?(length|window|size)|maximum context|too many tokens|prompt is too long"
    r"|exceeds? the (available|maximum|model)|exceed_context|input (is )?too long"
    r"|reduce the length",
    re.IGNORECASE,
)
_LIMIT_TOO_LARGE: Final = re.compile(r"max_(completion_)?tokens\W.{0,40}too large", re.IGNORECASE)
_UNKNOWN_PATH: Final = frozenset({"", "not found", "404 page not found"})
_FILTERED: Final = re.compile(r"\"content_filter\"|content management policy")
_LOADING: Final = re.compile(r"loading|warming up|starting", re.IGNORECASE)


class RequestFailedError(Exception):
    """One request failed."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


@dataclass(frozen=True, slots=True)
class Failure:
    """A failure of one request.

    message: one line for the log
    status: of the HTTP answer, if there was one
    details: the server's text, for what it says about fields; never logged
    retries: how many times the same request may be sent again
    """

    kind: FailureKind
    message: str
    status: int | None = None
    details: str = ""
    retries: int = 0
    retry_after_s: float | None = None

    @property
    def is_context_too_long(self) -> bool:
        """True if a shorter prompt may pass."""
        if self.status == 413:
            return True
        is_client_error = self.status in {400, 422, 500}
        is_limit = _LIMIT_TOO_LARGE.search(self.details)
        return is_client_error and not is_limit and bool(_CONTEXT_WORDS.search(self.details))

    @property
    def is_failed_call(self) -> bool:
        """True if the model wrote a tool call that its server could not read (Groq)."""
        return self.status == 400 and "tool_use_failed" in self.details

    @property
    def is_loading(self) -> bool:
        """True if the server is there and its model not yet."""
        return self.status == 503 and bool(_LOADING.search(self.details))


def status_failure(status: int, headers: Mapping[str, str], details: str, message: str) -> Failure:
    """Return the failure of an HTTP answer other than 200.

    headers: with names in lower case
    message: what the server says, if it has OpenAI's form
    """
    text = f"status {status}" + (f": {one_line(message)}" if message else "")
    if status == 404 and message.casefold() in _UNKNOWN_PATH:
        text = f"{text} (most servers want an address that ends in /v1)"
    retry_after_s = _retry_after_s(headers)
    if status == 429:
        return Failure("rate_limited", text, status, details, 1, retry_after_s)
    if status >= 500 or status in {408, 409, 425}:
        return Failure("unavailable", text, status, details, 1, retry_after_s)
    if status in _REFUSED or 300 <= status < 400:
        return Failure("refused", text, status, details)
    if _FILTERED.search(details):
        return Failure("empty", text, status)
    failure = Failure("invalid", text, status, details)
    return replace(failure, retries=1) if failure.is_failed_call else failure


def stream_failure(error: StreamError) -> Failure:
    """Return the failure of an error that came inside a stream."""
    text = f"error in the stream: {one_line(error.message)}"
    code = error.code.casefold()
    if code == "429" or "rate" in code or "quota" in code:
        return Failure("rate_limited", text, 429, error.message, 1)
    if code in {"401", "402", "403", "404"}:
        return Failure("refused", text, int(code), error.message)
    if _CONTEXT_WORDS.search(f"{code} {error.message}"):
        return Failure("invalid", text, 400, error.message)
    return Failure("unavailable", text, None, error.message, 1)


def connection_failure(error: BaseException) -> Failure:
    """Return the failure of a connection that cannot be had, or that broke."""
    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return Failure("unavailable", f"TLS: {one_line(cause.verify_message)}")
        if isinstance(cause, ssl.SSLError):
            return Failure("unavailable", f"TLS: {one_line(cause.reason or 'failed')}", retries=1)
        if isinstance(cause, socket.gaierror):
            return Failure("unavailable", "the host name is unknown", retries=1)
        if isinstance(cause, ConnectionRefusedError):
            return Failure("unavailable", "connection refused", retries=1)
    if any("timeout" in type(cause).__name__.casefold() for cause in causes):
        return Failure("timeout", "no connection in time")
    return Failure("unavailable", f"connection lost ({type(causes[-1]).__name__})", retries=1)


def _causes(error: BaseException) -> list[BaseException]:
    causes = [error]
    while (inner := causes[-1].__cause__ or causes[-1].__context__) is not None:
        if inner in causes:
            break
        causes.append(inner)
    return causes


def retry_delay_s(failure: Failure, retries: int, left_s: float) -> float | None:
    """Return the wait before the same request is sent again; None: not again.

    retries: how many there were
    left_s: until the reply must have begun
    """
    if failure.is_loading:
        return _LOADING_DELAY_S if left_s > _LOADING_DELAY_S else None
    if retries >= failure.retries:
        return None
    delay_s = _RETRY_DELAY_S if failure.retry_after_s is None else failure.retry_after_s
    return delay_s if delay_s <= min(MAX_RETRY_AFTER_S, left_s) else None


def _retry_after_s(headers: Mapping[str, str]) -> float | None:
    for name, factor in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        if re.fullmatch(r"\s*\d{1,9}(\.\d{1,6})?\s*", value := headers.get(name, "")):
            return float(value) * factor
    return None


def one_line(text: str) -> str:
    """Return the beginning of a text without line ends and control characters."""
    printable = "".join(letter if letter.isprintable() else " " for letter in text[:1_000])
    return " ".join(printable.split())[:_MAX_LOG_CHARACTERS]

"""Meaning of the end of a Gemini session: its close code and, above all, its text. Pure."""

from __future__ import annotations

from typing import Final

from realtime.close_reason import CloseReason
from utils import shorten

_BY_TEXT: Final = (
    (("api key", "api_key", "unauthenticated", "credential", "permission"), "invalid_api_key"),
    (("quota", "billing", "credits"), "insufficient_quota"),
    (("resource exhausted", "resource_exhausted", "rate limit", "too many"), "rate_limited"),
    (("handle", "resumption", "session not found"), "stale_resumption_handle"),
    (("deadline",), "deadline_expired"),
    (("session duration", "session expired", "session has expired", "go away"), "session_expired"),
    (("context", "token count", "token limit"), "context_exceeded"),
    (("not found", "not supported for bidi", "unknown model"), "model_not_found"),
    (("overloaded", "unavailable", "try again"), "overloaded"),
)
"""Words of the text, and the code they stand for; the first row that has one counts."""

_BY_CLOSE_CODE: Final = {
    1007: "invalid_argument",
    1008: "policy_violation",
    1011: "internal",
    1013: "overloaded",
}
_FATAL: Final = frozenset(
    {
        "invalid_api_key",
        "insufficient_quota",
        "model_not_found",
        "invalid_argument",
        "policy_violation",
    }
)


def read_gemini_close(close_code: int | None, text: str = "", error: str = "") -> CloseReason:
    """An ending as the socket shows it; see `realtime.close_reason.read_close`.

    The text decides before the close code, since the same code stands for a bad key, a used-up
    context and an inner failure. What neither explains is a lost line, after which resuming helps.
    """
    said = str(shorten(text)) if text else ""
    parts = [part for part in (f"close code {close_code}", said, error) if part]
    code = _code(close_code, text.lower())
    reason = f"the provider's connection ended ({', '.join(parts)})"
    return CloseReason(reason, code, is_retryable=code not in _FATAL)


def _code(close_code: int | None, text: str) -> str:
    for words, code in _BY_TEXT:
        if any(word in text for word in words):
            return code
    return _BY_CLOSE_CODE.get(close_code or 0, "disconnected")

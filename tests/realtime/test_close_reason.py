"""Why a socket ended: one row for each thing that providers do."""

from __future__ import annotations

import pytest

from realtime.close_reason import read_close


@pytest.mark.parametrize(
    ("close_code", "text", "code", "is_retryable"),
    [
        (1006, "", "disconnected", True),
        (1001, "", "disconnected", True),
        (1011, "internal error", "disconnected", True),
        (1001, "session_expired: 60 minutes", "session_expired", True),
        (1001, "Your session hit the maximum duration of 60 minutes.", "session_expired", True),
        (1011, "session idle timeout", "idle", True),
        (1013, "rate_limit_exceeded", "rate_limited", True),
        (4000, "invalid_request_error.beta_api_shape_disabled", "beta_api_shape_disabled", False),
        (4001, "", "closed_4001", False),
        (1008, "policy", "closed_1008", False),
        (None, "", "disconnected", True),
    ],
)
def test_every_way_to_end(close_code: int, text: str, code: str, is_retryable: bool) -> None:
    close_reason = read_close(close_code, text)
    assert (close_reason.code, close_reason.is_retryable) == (code, is_retryable)
    assert str(close_code) in close_reason.reason
    assert text in close_reason.reason


def test_a_long_text_is_cut_and_an_error_named() -> None:
    assert len(read_close(1011, "x" * 5000).reason) < 250
    assert "ClientConnectionResetError" in read_close(1006, "", "ClientConnectionResetError").reason

"""Reasons of refusals and ends: words, and the close codes that go with them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

NORMAL: Final = 1000
TRY_AGAIN_LATER: Final = 1013

CLOSE_CODES: Final[Mapping[str, int]] = {
    "invalid_config": 1003,
    "invalid_request": 1003,
    "too_large": 1009,
    "not_ready": TRY_AGAIN_LATER,
    "busy": TRY_AGAIN_LATER,
    "at_capacity": TRY_AGAIN_LATER,
    "draining": TRY_AGAIN_LATER,
    "too_slow": TRY_AGAIN_LATER,
    "replaced": 4001,
    "first_message_timeout": 4003,
    "unauthorized": 4401,
    "forbidden": 4403,
    "session_gone": 4404,
    "uid_taken": 4409,
    "room_full": 4429,
}
_OTHER: Final = 1011


def close_code_of(code: str, own: Mapping[str, int]) -> int:
    """Return the close code for a refusal. own: codes of the dialect, which come first."""
    return own.get(code, CLOSE_CODES.get(code, _OTHER))

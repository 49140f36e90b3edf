"""Audio that participants send, in frames of 20 ms."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Final, NamedTuple

MAX_WAITING_FRAMES: Final = 50
"""Kept of a participant for a slow reader: 1 s. Older frames are dropped."""


class PcmAudioFrame(NamedTuple):
    """20 ms of a participant's voice. received_at: loop time (seconds) at which it was ready.

    is_idle: made up, like all of the last seconds, while the participant sent nothing.
    """

    pcm: bytes
    sample_rate_hz: int
    uid: int
    received_at: float
    is_idle: bool = False


BatchHandler = Callable[[list[PcmAudioFrame]], Coroutine[Any, Any, bool]]
"""Takes frames, oldest first; returns False when it wants no more."""

"""Statistics of a line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class UserStatistics:
    """One participant's media. Counts that a transport does not have stay 0. Ages in seconds.

    connection: "connected" while audio can flow
    """

    connection: str
    packets_received: int = 0
    packets_lost: int = 0
    packets_late: int = 0
    frames_recovered: int = 0
    frames_concealed: int = 0
    frames_filled: int = 0
    frames_dropped: int = 0
    packets_corrupt: int = 0
    reorder_wait_ms: float = 0.0
    delay_ms: float = 0.0
    last_packet_age_s: float | None = None
    events_dropped: int = 0
    heard_after_ms: float | None = None
    """Delay from sending our audio to its sounding there, as far as is known."""


@dataclass(frozen=True)
class LineStatistics:
    """The media of a line at this moment. packets_sent: frames of ours that left, heard by any or none."""

    connection_state: str
    is_muted: bool
    queued_ms: float
    played_ms: float
    packets_sent: int
    underruns: int
    overrun_ms: float
    playout_stalls: int
    users: Mapping[int, UserStatistics]

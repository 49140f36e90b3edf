"""RTCP receiver reports about our audio, and the round trips that they show. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from utils import BoundedDict

_MAX_STAMPS: Final = 16


@dataclass(frozen=True)
class ReceiverReport:
    """A listener's RTCP report about our audio. round_trip_s None: not measurable."""

    round_trip_s: float | None
    jitter_s: float
    lost_share: float


class RoundTripMeter:
    """Round trips from the stamps of sender reports (LSR) and how long the other side held them.

    Works on the caller's monotonic clock: steps of the wall clock that the stamps are made of do no
    harm, they are only compared for equality.
    """

    def __init__(self) -> None:
        self._sent: BoundedDict[int, float] = BoundedDict(_MAX_STAMPS)

    def handle_sent(self, stamp: int, now_s: float) -> None:
        """A sender report with this stamp (middle 32 bits of its NTP time) leaves."""
        self._sent[stamp] = now_s
        self._sent.move_to_end(stamp)

    def round_trip_s(self, stamp: int, held: int, now_s: float) -> float | None:
        """The round trip that a report shows. held: DLSR, in 1/65536 s; None: a stamp not ours."""
        if (sent_s := self._sent.get(stamp)) is None:
            return None
        return max(0.0, now_s - sent_s - held / 65_536)

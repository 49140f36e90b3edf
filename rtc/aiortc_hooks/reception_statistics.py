"""Statistics of a received stream for receiver reports (RFC 3550, sections 6.4.1 and A.3 to A.8)."""

from __future__ import annotations

import time
from typing import Any

from aiortc.rtcrtpreceiver import StreamStatistics

from line.timing import RTP_CLOCK_HZ


class ReceptionStatistics(StreamStatistics):
    """Replace aiortc's statistics of a stream: the same figures, on the monotonic clock.

    aiortc's read the wall clock, whose steps would be reported as jitter.
    """

    def __init__(self, begun: StreamStatistics, now_s: float) -> None:
        """Go on from `begun`, which has counted a packet that arrived just now."""
        super().__init__(RTP_CLOCK_HZ)
        vars(self).update(vars(begun))
        self._last_arrival = int(now_s * RTP_CLOCK_HZ)

    def add(self, packet: Any) -> None:
        """Count a packet that aiortc has parsed."""
        self.count(packet.sequence_number, packet.timestamp, time.monotonic())

    def count(self, sequence_number: int, timestamp: int, now_s: float) -> None:
        """Count a packet that arrived at `now_s` (monotonic seconds)."""
        self.packets_received += 1
        highest = self.max_seq
        if highest is None or not 0 < (sequence_number - highest) & 0xFFFF < 0x8000:
            return
        if sequence_number < highest:
            self.cycles += 0x10000
        self.max_seq = sequence_number
        arrival = int(now_s * RTP_CLOCK_HZ)
        last_timestamp, last_arrival = self._last_timestamp, self._last_arrival
        if timestamp != last_timestamp and last_timestamp is not None and last_arrival is not None:
            # Wraps around, as the sender's stamps do.
            step = (timestamp - last_timestamp + 0x80000000) % 0x100000000 - 0x80000000
            deviation = abs(arrival - last_arrival - step)
            self._jitter_q4 += deviation - ((self._jitter_q4 + 8) >> 4)
        self._last_arrival = arrival
        self._last_timestamp = timestamp

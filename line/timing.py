"""Times of Opus over RTP: the clock of RFC 7587 (section 4.1) and the length of our frames."""

from __future__ import annotations

from typing import Final

RTP_CLOCK_HZ: Final = 48_000
PTIME_MS: Final = 20
PTIME_S: Final = PTIME_MS / 1000
PTIME_TICKS: Final = RTP_CLOCK_HZ * PTIME_MS // 1000
HOLD_PACKETS: Final = 5
"""Packets of silence that are handled together where that is allowed (`receive/silence_hold.py`)."""
SAVING_HOLD_PACKETS: Final = 2 * HOLD_PACKETS
"""The same for those who read them, while the processors are nearly used up."""
HOLD_S: Final = (HOLD_PACKETS - 1) * PTIME_S
"""How much older than the newest of them the oldest is."""

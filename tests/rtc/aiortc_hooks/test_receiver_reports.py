"""Round trips from receiver reports."""

from __future__ import annotations

import pytest

from rtc.aiortc_hooks.receiver_reports import RoundTripMeter


def test_round_trips_are_measured_on_our_clock() -> None:
    meter = RoundTripMeter()
    meter.handle_sent(7, 10.0)
    assert meter.round_trip_s(7, 65_536 // 2, 10.58) == pytest.approx(0.08)
    assert meter.round_trip_s(7, 65_536, 10.5) == 0.0
    assert meter.round_trip_s(8, 0, 10.5) is None
    for stamp in range(100, 200):
        meter.handle_sent(stamp, 11.0)
    assert meter.round_trip_s(7, 0, 12.0) is None

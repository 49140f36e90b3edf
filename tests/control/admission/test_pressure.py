from __future__ import annotations

from control.admission.pressure import HIGH_SHARE, LOW_SHARE, PressureSignal


def test_pressure_begins_at_one_share_and_ends_below_a_lower_one() -> None:
    signal = PressureSignal()
    between = (HIGH_SHARE + LOW_SHARE) / 2
    shares = (0.0, between, HIGH_SHARE, 1.0, between, LOW_SHARE, LOW_SHARE - 0.01, between, 1.0)
    states = [signal.update(share) for share in shares]
    assert states == [False, False, True, True, True, True, False, False, True]

"""The quickest packet and the spread of the rest, over a sliding window."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rtc.transit import QUANTILE, WINDOW_PACKETS, TransitTracker


@given(st.lists(st.integers(-(2**40), 2**40), min_size=1, max_size=2 * WINDOW_PACKETS))
def test_it_tells_minimum_and_quantile_of_the_last_packets(transits: list[int]) -> None:
    tracker = TransitTracker()
    for transit in transits:
        tracker.add(transit)
    window = sorted(transits[-WINDOW_PACKETS:])
    assert tracker.quickest == window[0]
    assert tracker.spread == window[int(QUANTILE * (len(window) - 1))] - window[0]


def test_a_single_straggler_asks_for_nothing_and_clearing_forgets() -> None:
    tracker = TransitTracker()
    assert not tracker
    assert tracker.spread == 0
    for transit in [0] * 100 + [5000]:
        tracker.add(transit)
    assert tracker.spread == 0
    tracker.clear()
    tracker.add(7)
    assert tracker.quickest == 7

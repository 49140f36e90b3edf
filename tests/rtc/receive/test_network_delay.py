"""The quickest packet and the spread of the rest, over a sliding window."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rtc.receive.network_delay import QUANTILE, WINDOW_PACKETS, NetworkDelayTracker


@given(st.lists(st.integers(-(2**40), 2**40), min_size=1, max_size=2 * WINDOW_PACKETS))
def test_it_tells_the_quickest_and_how_late_the_others_were(transits: list[int]) -> None:
    tracker = NetworkDelayTracker()
    for transit in transits:
        tracker.add(transit)
    window = transits[-WINDOW_PACKETS:]
    assert tracker.quickest == min(window)
    late = sorted(
        transit - min(transits[max(0, index - WINDOW_PACKETS + 1) : index + 1])
        for index, transit in enumerate(transits)
        if index >= len(transits) - WINDOW_PACKETS
    )
    assert tracker.spread == late[int(QUANTILE * (len(late) - 1))]


def test_a_way_that_becomes_quicker_makes_nothing_late() -> None:
    tracker = NetworkDelayTracker()
    for transit in range(1000, 0, -20):
        tracker.add(transit)
    assert (tracker.quickest, tracker.spread) == (20, 0)


def test_a_single_straggler_asks_for_nothing_and_clearing_forgets() -> None:
    tracker = NetworkDelayTracker()
    assert not tracker
    assert tracker.spread == 0
    for transit in [0] * 100 + [5000]:
        tracker.add(transit)
    assert tracker.spread == 0
    tracker.clear()
    tracker.add(7)
    assert tracker.quickest == 7

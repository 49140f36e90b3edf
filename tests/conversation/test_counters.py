"""Sums over sources that come and go."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from conversation.counters import CounterTotals


def test_sources_that_leave_or_begin_anew_take_nothing_away() -> None:
    tally = CounterTotals()
    assert tally.update("a", {"n": 5}) == {"n": 5}
    assert tally.update("b", {"n": 2}) == {"n": 2}
    assert tally.update("a", {"n": 6}) == {"n": 1}
    tally.retain(["b"])
    assert tally.update("a", {"n": 4}) == {"n": 4}, "another one of the same name"
    assert tally.update("b", {"n": 1}) == {"n": 1}, "it began anew"
    assert tally.sums == {"n": 13}


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 9), st.booleans())))
def test_no_sum_ever_falls_and_rises_add_up(steps: list[tuple[str, int, bool]]) -> None:
    tally, risen = CounterTotals(), 0.0
    for source, count, is_leaving in steps:
        rise = tally.update(source, {"n": count})["n"]
        assert rise >= 0
        risen += rise
        if is_leaving:
            tally.retain([])
    assert tally.sums.get("n", 0) == risen

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from load.knee import KneeSearch


def search(limit: int, most: int, room: int | None = None) -> tuple[KneeSearch, list[int]]:
    """Search where up to `limit` calls are sound, and the server takes `room`."""
    knee, tried = KneeSearch(most), []
    while (wanted := knee.next()) is not None:
        tried.append(wanted)
        calls = wanted if room is None else min(wanted, room)
        is_sound = calls <= limit
        knee.take(calls, is_sound=is_sound, is_most=is_sound and calls < wanted)
        assert len(tried) < 40
    return knee, tried


def test_it_grows_stepwise_and_then_halves() -> None:
    knee, tried = search(limit=23, most=200)
    assert tried == [4, 6, 9, 14, 21, 32, 26, 23, 24]
    assert (knee.good, knee.bad) == (23, 24)


def test_a_refusal_is_the_limit_at_once() -> None:
    knee, tried = search(limit=100, most=200, room=11)
    assert tried == [4, 6, 9, 14]
    assert (knee.good, knee.bad) == (11, 12)


def test_what_was_let_in_may_be_too_much_already() -> None:
    knee, _ = search(limit=7, most=200, room=11)
    assert (knee.good, knee.bad) == (7, 8)


def test_no_more_than_allowed_are_tried() -> None:
    knee, tried = search(limit=500, most=10)
    assert tried == [4, 6, 9, 10]
    assert (knee.good, knee.bad) == (10, None)


def test_nothing_is_sound() -> None:
    knee, tried = search(limit=0, most=50)
    assert (knee.good, knee.bad) == (0, 1)
    assert tried == [4, 2, 1]


def test_of_two_measurements_the_worse_one_holds() -> None:
    knee = KneeSearch(100, good=20)
    knee.take(18, is_sound=False)
    assert (knee.good, knee.bad) == (17, 18)


@pytest.mark.hypothesis
@given(limit=st.integers(0, 300), most=st.integers(1, 300), room=st.integers(1, 300))
def test_it_ends_near_the_limit(limit: int, most: int, room: int) -> None:
    knee, tried = search(limit, most, room)
    true = min(limit, most, room)
    assert knee.good <= true
    assert true - knee.good <= max(1, 0.05 * (true + 1))
    assert max(tried) <= most

"""A clock that jumped is believed when it ran evenly for long, and not before."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.store.clock import CONFIRM_S, ClockCheck

DAY_MS = 86_400_000
ALLOWED_MS = 3 * DAY_MS
NOW_MS = 1_800_000_000_000


def look(check: ClockCheck, after_s: float, off_ms: float = 0) -> bool:
    """At a clock that is off by so much, so long after the beginning."""
    return check.look(wall_ms=int(NOW_MS + after_s * 1000 + off_ms), monotonic_s=after_s)


@pytest.mark.parametrize(
    ("off_days", "words"),
    [
        (40, "40 days ahead of"),
        (4, "4 days ahead of"),
        (-40, "40 days behind"),
        (4000, "4000 days ahead of"),
    ],
)
def test_a_start_with_a_wrong_clock_is_not_believed_until_it_ran_for_a_day(
    off_days: int, words: str
) -> None:
    check = ClockCheck(ALLOWED_MS, NOW_MS)
    off_ms = off_days * DAY_MS
    for after_s in range(0, int(CONFIRM_S), 600):
        assert not look(check, after_s, off_ms)
    assert check.problem is not None
    assert words in check.problem
    assert check.believed_ms == NOW_MS
    assert look(check, CONFIRM_S, off_ms)
    assert check.problem is None
    assert check.believed_ms == int(NOW_MS + CONFIRM_S * 1000 + off_ms)


def test_a_clock_that_is_set_right_is_believed_at_once() -> None:
    check = ClockCheck(ALLOWED_MS, NOW_MS)
    assert not look(check, 0, 40 * DAY_MS)
    assert look(check, 60)
    assert check.problem is None


def test_each_jump_begins_the_wait_anew() -> None:
    check = ClockCheck(ALLOWED_MS, NOW_MS)
    assert not look(check, 0, 40 * DAY_MS)
    assert not look(check, CONFIRM_S - 60, 40 * DAY_MS)
    assert not look(check, CONFIRM_S, 50 * DAY_MS)
    assert not look(check, 2 * CONFIRM_S - 60, 50 * DAY_MS)
    assert look(check, 2 * CONFIRM_S, 50 * DAY_MS)


def test_a_jump_while_the_server_runs_is_seen() -> None:
    check = ClockCheck(ALLOWED_MS, NOW_MS)
    assert look(check, 0)
    # However long the server runs, what counts is the jump.
    assert look(check, 40 * 86_400.0)
    assert not look(check, 40 * 86_400.0 + 60, 40 * DAY_MS)


@given(st.none() | st.just(NOW_MS), st.integers(-ALLOWED_MS, ALLOWED_MS))
def test_a_clock_within_tolerance_or_without_history_is_plausible(
    known_ms: int | None, off_ms: int
) -> None:
    check = ClockCheck(ALLOWED_MS, known_ms)
    assert look(check, 0, off_ms)
    assert (check.problem, check.believed_ms) == (None, NOW_MS + off_ms)

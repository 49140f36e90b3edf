"""When a session that will end is replaced."""

from __future__ import annotations

import pytest

from realtime.resilience.rotation import RotationPlan


@pytest.mark.parametrize(
    ("cap_s", "prepare_s", "last_s"),
    [(3600, 3480, 3590), (7200, 7080, 7190), (600, 480, 590), (8, 6, 7.6)],
)
def test_the_lead_fits_the_life(cap_s: float, prepare_s: float, last_s: float) -> None:
    plan = RotationPlan(opened_s=0, cap_s=cap_s)
    assert plan.prepare_at_s == pytest.approx(prepare_s)
    assert plan.last_moment_s == pytest.approx(last_s)


def test_a_session_without_an_end_is_never_replaced() -> None:
    plan = RotationPlan(opened_s=0, cap_s=None)
    assert not plan.is_due(now_s=1e9)
    assert not plan.should_switch(is_boundary=True, is_quiet=True, now_s=1e9)


def test_the_earliest_end_counts_and_an_end_in_the_past_is_no_end() -> None:
    plan = RotationPlan(opened_s=0, cap_s=3600)
    plan.note_end(1800, now_s=0)
    plan.note_end(7200, now_s=0)
    assert plan.last_moment_s == 1790
    plan.note_end(-60, now_s=0)
    assert plan.last_moment_s == 1790, "a clock that is wrong does not end a session"


@pytest.mark.parametrize(("left_ms", "last_s"), [(50_000, 1040), (None, 1008), (0, 1000.08)])
def test_a_provider_that_says_goodbye_is_left_at_once(left_ms: int | None, last_s: float) -> None:
    plan = RotationPlan(opened_s=0, cap_s=3600)
    plan.note_end_in(left_ms, now_s=1000)
    assert plan.is_due(now_s=1000)
    assert plan.last_moment_s == pytest.approx(last_s)


@pytest.mark.parametrize(
    ("now_s", "is_boundary", "is_quiet", "switches"),
    [
        (3400, True, True, True),
        (3500, True, False, False),
        (3500, False, True, False),
        (3540, True, False, True),
        (3540, False, True, False),
        (3590, False, False, True),
    ],
)
def test_where_it_happens(now_s: float, is_boundary: bool, is_quiet: bool, switches: bool) -> None:
    plan = RotationPlan(opened_s=0, cap_s=3600)
    assert plan.should_switch(is_boundary=is_boundary, is_quiet=is_quiet, now_s=now_s) is switches

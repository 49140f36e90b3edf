"""What reordering teaches, and how it is forgotten."""

from __future__ import annotations

import pytest

from rtc.receive.reordering import MAX_REORDER_S, ReorderWait


def test_nothing_is_waited_for_until_reordering_was_seen() -> None:
    assert ReorderWait().wait_s(0.0) == 0


def test_the_longest_counts_and_fades() -> None:
    wait = ReorderWait()
    wait.learn(0.03, 10.0)
    wait.learn(0.01, 10.0)
    assert wait.wait_s(10.0) == pytest.approx(0.035)
    assert wait.wait_s(15.0) == pytest.approx(0.0175)
    assert wait.wait_s(60.0) == 0


def test_it_is_bounded() -> None:
    wait = ReorderWait()
    wait.learn(5.0, 1.0)
    assert wait.wait_s(1.0) == MAX_REORDER_S
    assert wait.wait_s(0.5) == MAX_REORDER_S

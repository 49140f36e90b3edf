"""Waits of one process end on its ticks, close to what was asked for."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared_ticks import TICK_S, until_tick_s


@given(st.floats(0, 1e6), st.floats(0, 60), st.floats(0, 60))
def test_waits_end_on_one_grid(now_s: float, one_s: float, other_s: float) -> None:
    ends = [now_s + until_tick_s(delay_s, now_s) for delay_s in (one_s, other_s)]
    apart = (ends[1] - ends[0]) / TICK_S
    assert apart == pytest.approx(round(apart), abs=1e-6)


@given(st.floats(0, 1e6), st.floats(0, 60))
def test_a_wait_is_about_as_long_as_wanted_and_never_none(now_s: float, delay_s: float) -> None:
    wait_s = until_tick_s(delay_s, now_s)
    assert abs(wait_s - max(delay_s, TICK_S)) <= TICK_S / 2 + 1e-6
    assert wait_s >= TICK_S / 2 - 1e-6


def test_processes_have_ticks_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    ends = set()
    for pid in range(1000, 1010):
        monkeypatch.setattr(os, "getpid", lambda pid=pid: pid)
        ends.add(round((1000.0 + until_tick_s(0.5, 1000.0)) % TICK_S, 4))
    assert len(ends) == 10

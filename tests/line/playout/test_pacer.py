"""When frames leave and which RTP time they have, whatever the clock does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from line.playout.pacer import MAX_CATCH_UP_S, FramePacer, Slot
from line.timing import PTIME_S, PTIME_TICKS, RTP_CLOCK_HZ


def test_a_spurt_begins_at_once_and_stays_on_its_grid() -> None:
    pace = FramePacer()
    assert pace.due_s == float("-inf")
    assert pace.take(100.0) == Slot(100.0, 0)
    assert pace.due_s == pytest.approx(100.02)
    # Late or early, the frames after it do not move.
    slots = [pace.take(100.035), pace.take(100.036)]
    assert [slot.ticks for slot in slots] == [960, 1920]
    assert [slot.due_s for slot in slots] == pytest.approx([100.02, 100.04])
    assert pace.due_s == pytest.approx(100.06)
    assert pace.stalls == 0


def test_after_a_silence_rtp_time_is_real_time_again() -> None:
    pace = FramePacer()
    pace.take(5.0)
    pace.stop()
    assert not pace.is_running
    assert pace.take(7.5) == Slot(7.5, round(2.5 * RTP_CLOCK_HZ))


def test_a_spurt_right_after_another_waits_for_its_end_and_rtp_time_never_goes_back() -> None:
    pace = FramePacer()
    for _ in range(3):
        pace.take(5.0)
    pace.stop()
    assert pace.due_s == pytest.approx(5.06)
    assert pace.take(5.001) == Slot(pace.due_s - PTIME_S, 3 * PTIME_TICKS)


def test_what_stood_still_too_long_begins_a_new_grid() -> None:
    pace = FramePacer()
    pace.take(5.0)
    assert pace.take(5.0 + PTIME_S + MAX_CATCH_UP_S + 0.01).due_s == pytest.approx(5.23)
    assert pace.stalls == 1
    pace.take(pace.due_s + MAX_CATCH_UP_S - 0.01)
    assert pace.stalls == 1


def test_an_hour_of_talk_ends_where_the_clock_does() -> None:
    pace = FramePacer()
    frames = 3600 * 50
    slot = pace.take(1000.0)
    for frame in range(1, frames):
        slot = pace.take(pace.due_s + (frame % 7) * 0.001)
    assert slot.ticks == (frames - 1) * PTIME_TICKS
    assert slot.due_s == pytest.approx(1000 + (frames - 1) * PTIME_S, abs=1e-6)


@given(
    st.lists(
        st.tuples(st.sampled_from(["take", "stop"]), st.floats(0, 2, allow_subnormal=False)),
        max_size=80,
    )
)
def test_slots_keep_to_the_clock_and_never_overlap(steps: list[tuple[str, float]]) -> None:
    """Frames are taken when due or later, as the playout clock does."""
    pace = FramePacer()
    now_s, origin_s = 50.0, None
    last: Slot | None = None
    for step, wait_s in steps:
        now_s += wait_s
        if step == "stop":
            pace.stop()
            continue
        now_s = max(now_s, pace.due_s)
        origin_s = now_s if origin_s is None else origin_s
        slot = pace.take(now_s)
        assert slot.due_s <= now_s <= slot.due_s + MAX_CATCH_UP_S + 1e-9
        real_ticks = (slot.due_s - origin_s) * RTP_CLOCK_HZ
        assert abs(slot.ticks - real_ticks) <= 1
        if last is not None:
            assert slot.ticks >= last.ticks + PTIME_TICKS
        last = slot

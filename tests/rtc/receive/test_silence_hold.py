"""Silence may wait after a while, sound never; the background decides what silence is."""

from __future__ import annotations

import pytest

from rtc.receive.silence_hold import LOUDEST_SILENCE, RESUME_S, SILENT_LEVEL, SilenceHold

AFTER_S = 1.0
FRAMES = 50


def quiet_for(hold: SilenceHold, frames: int, level: float = 0.0) -> bool:
    """Whether a frame may wait after so many of one level."""
    for _ in range(frames):
        hold.note(level)
    return hold.may_wait


def holding(level: float = 0.0) -> SilenceHold:
    """One in the middle of a long silence."""
    hold = SilenceHold()
    hold.after_s = AFTER_S
    assert quiet_for(hold, 2 * FRAMES, level)
    return hold


def test_nothing_waits_until_it_was_quiet_for_as_long_as_wanted() -> None:
    hold = SilenceHold()
    assert not quiet_for(hold, 1000)
    hold.after_s = AFTER_S
    hold.note(5000.0)
    assert not quiet_for(hold, FRAMES - 1)
    assert quiet_for(hold, 1)


def test_a_loud_frame_begins_that_time_anew() -> None:
    hold = holding()
    hold.note(SILENT_LEVEL * 3)
    assert not hold.may_wait
    assert hold.silent_from is None
    assert not quiet_for(hold, FRAMES - 1)
    assert quiet_for(hold, 1)


@pytest.mark.parametrize("background", [0.0, 20.0, 80.0])
def test_what_stands_out_of_the_background_does_not_wait(background: float) -> None:
    hold = holding(background)
    hold.note(2.1 * background + SILENT_LEVEL + 1)
    assert not hold.may_wait


def test_no_background_is_as_loud_as_a_voice() -> None:
    hold = SilenceHold()
    hold.after_s = AFTER_S
    assert not quiet_for(hold, 2000, LOUDEST_SILENCE + 1)


def test_a_gap_in_the_network_interrupts_for_a_moment() -> None:
    hold = holding()
    hold.interrupt()
    hold.interrupt()
    assert not hold.may_wait
    frames = round(RESUME_S * 50)
    assert not quiet_for(hold, frames - 1)
    assert quiet_for(hold, 2)


def test_a_stated_level_counts_only_below_the_background() -> None:
    assert holding().silent_from == 74
    quiet_room = holding(20.0).silent_from
    assert quiet_room is not None
    # -61 dBFS is the loudest silence here: twice the background, less the margin.
    assert quiet_room == 62
    assert SilenceHold().silent_from is None

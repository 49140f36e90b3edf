from __future__ import annotations

from load.lateness import Lateness, late_percents


def test_only_what_comes_over_20_ms_after_its_time_is_late() -> None:
    lateness = Lateness()
    for number, late_s in enumerate((0.0, 0.019, 0.021, 0.0)):
        lateness.add(number * 0.02, 100 + number * 0.02 + late_s)
    assert (lateness.frames, lateness.late, lateness.late_percent) == (4, 1, 25.0)
    assert round(lateness.worst_s, 3) == 0.021


def test_time_is_measured_against_the_quickest_frame_so_far() -> None:
    lateness = Lateness()
    for number, late_s in enumerate((0.05, 0.0, 0.05)):
        lateness.add(number * 0.02, 100 + number * 0.02 + late_s)
    assert lateness.late == 1


def test_of_a_stream_without_frames_nothing_is_said() -> None:
    assert Lateness().late_percent is None
    heard = Lateness(frames=4, late=1)
    assert late_percents([Lateness(), heard]) == [25.0]


def test_lost_frames_count_as_late() -> None:
    lateness = Lateness()
    lateness.add(0.0, 7.0, frames=3)
    lateness.add_lost(1)
    assert lateness.late_percent == 25.0

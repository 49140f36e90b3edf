"""Several people, one input."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conversation.mixer import ABSENT_AFTER_S, MAX_AHEAD_FRAMES, MAX_BURST_FRAMES, Mixer, limit


def _frame(value: int, samples: int = 480) -> bytes:
    return np.full(samples, value, np.int16).tobytes()


def _mixer(*uids: int) -> Mixer:
    mixer = Mixer()
    for uid in uids:
        mixer.add(uid, 0.0)
    return mixer


def test_one_speaker_passes_through_untouched() -> None:
    assert _mixer(1).push(1, b"\x01\x02", 0.0) == [b"\x01\x02"]


def test_two_speakers_are_added() -> None:
    mixer = _mixer(1, 2)
    assert mixer.push(1, _frame(100), 0.0) == []
    assert mixer.push(2, _frame(-30), 0.01) == [_frame(70)]


def test_loud_speakers_are_bent_instead_of_clipped_or_wrapped() -> None:
    mixer = _mixer(1, 2)
    mixer.push(1, _frame(30_000), 0.0)
    (mixed,) = mixer.push(2, _frame(30_000), 0.0)
    assert 32_000 < np.frombuffer(mixed, np.int16)[0] <= 32_767


def test_one_who_says_nothing_but_is_there_delays_the_others_only_shortly() -> None:
    mixer = _mixer(1, 2)
    heard: list[bytes] = []
    for number in range(10):
        heard += mixer.push(1, _frame(number), 0.001 * number)
    assert heard == [_frame(number) for number in range(10 - MAX_AHEAD_FRAMES)]


def test_one_who_has_vanished_is_not_waited_for_at_all() -> None:
    mixer = _mixer(1, 2)
    mixer.push(2, _frame(0), 0.0)
    heard: list[bytes] = []
    last = 50
    for number in range(last + 1):
        heard += mixer.push(1, _frame(number), 0.02 * number)
    assert heard[-1] == _frame(last), "the newest frame is out as soon as it comes"
    assert len(heard) == last + 1
    # Back again, he is part of the very next frame.
    assert mixer.push(2, _frame(7), 0.02 * last + 0.01) == []
    assert mixer.push(1, _frame(1), 0.02 * last + 0.02) == [_frame(8)]


def test_made_up_silence_goes_on_while_nobody_sends_and_is_never_waited_for() -> None:
    mixer = _mixer(1, 2)
    assert mixer.fill(2, _frame(0), 1.0) == [_frame(0)]
    assert mixer.push(1, _frame(7), 1.01) == [_frame(7)], "a voice does not wait for it"
    assert mixer.fill(2, _frame(0), 1.05) == [], "nor is it added to the stream of a voice"
    assert mixer.push(1, _frame(8), 1.06) == [_frame(8)]
    alone_s = 1.06 + ABSENT_AFTER_S
    assert mixer.fill(2, _frame(0), alone_s) == [_frame(0)]


def test_of_several_who_send_nothing_one_makes_the_silence() -> None:
    mixer = _mixer(1, 2, 3)
    mixed = 0
    for tick in range(30):
        now_s = 1.0 + tick * 0.1
        for uid in (1, 2, 3):
            for _ in range(5):
                mixed += len(mixer.fill(uid, _frame(0), now_s + uid * 0.02))
    assert 145 <= mixed <= 150, "as long as real time"


def test_who_speaks_again_is_waited_for_again() -> None:
    mixer = _mixer(1, 2)
    mixer.fill(2, _frame(0), 1.0)
    assert mixer.push(2, _frame(1), 1.01) == [_frame(1)]
    assert mixer.push(1, _frame(2), 1.02) == []
    assert mixer.push(2, _frame(3), 1.03) == [_frame(5)]


def test_who_leaves_delays_nobody() -> None:
    mixer = _mixer(1, 2)
    mixer.push(1, _frame(1), 0.0)
    mixer.remove(2)
    assert mixer.push(1, _frame(2), 0.02) == [_frame(1), _frame(2)]


@pytest.mark.parametrize("uids", [(1,), (1, 2)])
def test_a_flood_is_cut_to_real_time_and_the_others_lose_nothing(uids: tuple[int, ...]) -> None:
    mixer = _mixer(*uids)
    heard: list[bytes] = []
    seconds = 10
    for tick in range(50 * seconds):
        now_s = tick * 0.02
        for _ in range(20):
            heard += mixer.push(1, _frame(5), now_s)
        if 2 in uids:
            heard += mixer.push(2, _frame(1000 + tick), now_s)
    assert len(heard) <= 1.03 * 50 * seconds + MAX_BURST_FRAMES
    assert mixer.dropped_frames > 18 * 50 * seconds - MAX_BURST_FRAMES - 50
    if 2 in uids:
        values = [int(np.frombuffer(frame, np.int16)[0]) for frame in heard]
        said = [value - value % 5 for value in values if value >= 1000]
        assert len(said) == 50 * seconds


def test_odd_and_uneven_frames_do_no_harm() -> None:
    mixer = _mixer(1, 2)
    mixer.push(1, b"\x01\x00\x02", 0.0)
    assert mixer.push(2, _frame(1, 2), 0.0) == [b"\x02\x00\x01\x00"]
    assert mixer.push(1, b"", 0.02) == []
    assert mixer.push(2, b"\x09", 0.02) == [b""]


@given(st.lists(st.integers(1, 4), max_size=200), st.floats(0, 0.05))
def test_waiting_is_bounded_and_no_speaker_is_heard_twice(order: list[int], step_s: float) -> None:
    mixer = _mixer(1, 2, 3, 4)
    heard = sum(len(mixer.push(uid, _frame(1), i * step_s)) for i, uid in enumerate(order))
    assert heard <= len(order)
    waiting = [len(speaker.frames) for speaker in mixer._speakers.values()]
    assert max(waiting) <= MAX_AHEAD_FRAMES
    assert ABSENT_AFTER_S < 1


@given(st.lists(st.floats(-200_000, 200_000, width=32), min_size=1, max_size=50))
def test_the_limiter_is_smooth_and_bounded(values: list[float]) -> None:
    total = np.sort(np.array(values, np.float32))
    limited = limit(total).astype(np.int32)
    assert (np.diff(limited) >= 0).all()
    assert limited.max() <= 32_767
    assert limited.min() >= -32_767
    quiet = np.abs(total) <= 24_000
    assert (np.abs(limited[quiet] - total[quiet]) <= 0.5).all()

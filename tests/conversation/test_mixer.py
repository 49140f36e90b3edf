"""Several people, one input."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from conversation.mixer import MAX_WAITING_FRAMES, Mixer


def _frame(value: int, samples: int = 480) -> bytes:
    return np.full(samples, value, np.int16).tobytes()


def test_one_speaker_passes_through_untouched() -> None:
    mixer = Mixer()
    mixer.add(1)
    assert mixer.push(1, b"\x01\x02") == [b"\x01\x02"]


def test_two_speakers_are_added() -> None:
    mixer = Mixer()
    mixer.add(1)
    mixer.add(2)
    assert mixer.push(1, _frame(100)) == []
    assert mixer.push(2, _frame(-30)) == [_frame(70)]


def test_loud_speakers_clip_instead_of_wrapping() -> None:
    mixer = Mixer()
    mixer.add(2)
    mixer.push(1, _frame(30_000))
    assert mixer.push(2, _frame(30_000)) == [_frame(32_767)]


def test_a_silent_speaker_delays_the_others_only_shortly() -> None:
    mixer = Mixer()
    mixer.add(2)
    heard = [frame for number in range(10) for frame in mixer.push(1, _frame(number))]
    assert heard == [_frame(number) for number in range(10 - MAX_WAITING_FRAMES)]


def test_who_leaves_delays_nobody() -> None:
    mixer = Mixer()
    mixer.add(2)
    mixer.push(1, _frame(1))
    mixer.remove(2)
    assert mixer.push(1, _frame(2)) == [_frame(1), _frame(2)]


@given(st.lists(st.integers(1, 4), max_size=200))
def test_waiting_is_bounded_and_no_speaker_is_heard_twice(order: list[int]) -> None:
    mixer = Mixer()
    for uid in range(1, 5):
        mixer.add(uid)
    heard = sum(len(mixer.push(uid, _frame(1))) for uid in order)
    assert heard <= len(order)
    assert all(len(queue) <= MAX_WAITING_FRAMES + 1 for queue in mixer._queues.values())

from __future__ import annotations

import numpy as np
import pytest

from bench.peers.cascade_caller import REPLY_RATE_HZ, Playback, Question


def pcm(seconds: float, level: int = 0) -> bytes:
    return np.full(round(seconds * REPLY_RATE_HZ), level, np.int16).tobytes()


def test_audio_that_comes_ahead_of_its_time_leaves_no_gap() -> None:
    reply = Playback()
    for at_s in (10.0, 10.01, 10.02):
        reply.add(at_s, pcm(0.5, 1000))
    assert reply.gaps_s == []
    assert reply.ends_s == pytest.approx(11.5)


def test_audio_that_comes_late_leaves_a_gap_and_moves_the_end() -> None:
    reply = Playback()
    reply.add(10.0, pcm(0.5))
    reply.add(10.8, pcm(0.5))
    assert reply.gaps_s == [pytest.approx(0.3)]
    assert reply.ends_s == pytest.approx(11.3)


def test_first_sound_counts_what_is_silent_before_it() -> None:
    reply = Playback()
    reply.add(10.0, pcm(0.2))
    assert reply.first_sound_s is None
    reply.add(10.1, pcm(0.1) + pcm(0.1, -32768))
    assert reply.first_byte_s == 10.0
    assert reply.first_sound_s == pytest.approx(10.3)


def test_a_reply_is_over_a_while_after_its_last_sample() -> None:
    reply = Playback()
    assert not reply.is_over(99.0)
    reply.add(10.0, pcm(0.5))
    assert not reply.is_over(11.0)
    assert reply.is_over(11.3)


@pytest.mark.parametrize("rate_hz", [16_000, 24_000])
def test_a_question_ends_with_its_last_word_at_every_rate(rate_hz: int) -> None:
    question = Question.load("u15_f.wav", rate_hz)
    loud = np.flatnonzero(np.abs(question.samples.astype(int)) > 100)
    assert question.end_s == pytest.approx(loud[-1] / rate_hz, abs=0.03)

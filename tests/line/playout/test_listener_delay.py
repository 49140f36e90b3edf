"""What was heard of what left: the log of departures, round trips and a listener's delay."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from line.playout.listener_delay import (
    ASSUMED_PLAYOUT_S,
    LOG_S,
    MAX_DELAY_S,
    ListenerDelay,
    SentAudioLog,
    SentSpan,
)

RATE_HZ = 24_000
FRAME = 480


def _talk(log: SentAudioLog, key: str, begin_s: float, frames: int, first_sample: int = 0) -> float:
    """Frames of `key` leave one after the other; returns when the last has sounded."""
    for number in range(frames):
        at_s = begin_s + number * 0.02
        log.add(SentSpan(key, first_sample + number * FRAME, FRAME, at_s, at_s))
    return begin_s + frames * 0.02


def test_what_left_is_in_flight_until_the_delay_is_over() -> None:
    log = SentAudioLog(RATE_HZ)
    end_s = _talk(log, "a", 10.0, 10)
    assert log.last_at_s == pytest.approx(end_s)
    assert log.in_flight_samples("a", end_s, 0.1) == pytest.approx(2400, abs=1)
    assert log.in_flight_samples("a", end_s + 0.05, 0.1) == pytest.approx(1200, abs=1)
    assert log.in_flight_samples("a", end_s + 0.1, 0.1) <= 1
    assert log.in_flight_samples("b", end_s, 0.1) == 0


def test_a_silence_between_is_not_counted_as_audio() -> None:
    log = SentAudioLog(RATE_HZ)
    _talk(log, "a", 10.0, 5)
    end_s = _talk(log, "a", 10.5, 5, first_sample=5 * FRAME)
    # 0.3 s before the end nothing of the second spurt had begun.
    assert log.in_flight_samples("a", end_s, 0.3) == 5 * FRAME
    assert log.heard_at(end_s, 0.3) == ("a", 5 * FRAME)
    assert log.heard_at(end_s, 0.05) in [("a", 10 * FRAME - 1200 + off) for off in (-1, 0)]


def test_nothing_is_heard_before_it_began_and_nothing_old_is_kept() -> None:
    log = SentAudioLog(RATE_HZ)
    assert log.heard_at(10.0, 0.0) is None
    assert log.last_at_s == float("-inf")
    _talk(log, "a", 10.0, 5)
    assert log.heard_at(10.05, 0.1) is None
    log.add(SentSpan("b", 0, FRAME, 10.1 + LOG_S, 10.1 + LOG_S))
    assert log.left_at("a", 0) is None
    assert log.in_flight_samples("a", 10.0, 1.0) == 0


def test_what_left_late_sounds_in_time_if_the_listener_has_enough_in_stock() -> None:
    log = SentAudioLog(RATE_HZ)
    log.add(SentSpan("a", 0, FRAME, at_s=10.0, left_s=10.1))
    assert log.heard_at(10.16, 0.15) in [("a", 239), ("a", 240)]
    assert log.heard_at(10.09, 0.05) is None
    assert log.heard_at(10.11, 0.05) in [("a", 239), ("a", 240)]


def test_when_a_sample_left() -> None:
    log = SentAudioLog(RATE_HZ)
    _talk(log, "a", 10.0, 5)
    assert log.left_at("a", 1200) == pytest.approx(10.05)
    assert log.left_at("a", 5 * FRAME) == pytest.approx(10.1)
    assert log.left_at("a", 5 * FRAME + 1) is None


@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.integers(1, FRAME), st.floats(0, 0.3)),
        min_size=1,
        max_size=40,
    ),
    st.floats(0, 1),
    st.lists(st.floats(0, 0.2), max_size=10),
)
def test_heard_only_grows_and_adds_up_with_what_is_in_flight(
    frames: list[tuple[int, int, float]], delay_s: float, waits_s: list[float]
) -> None:
    log = SentAudioLog(RATE_HZ)
    at_s, key, first = 10.0, 0, 0
    left: dict[int, int] = {}
    for step, samples, gap_s in frames:
        if step:
            key, first = key + step, 0
        log.add(SentSpan(key, first, samples, at_s, at_s))
        first += samples
        left[key] = first
        at_s += samples / RATE_HZ + gap_s * (gap_s > 0.1)
    now_s = at_s
    heard_before: dict[int, int] = {}
    for wait_s in [*waits_s, LOG_S - 4.5]:
        now_s += wait_s
        heard = {one: left[one] - log.in_flight_samples(one, now_s, delay_s) for one in left}
        assert all(0 <= heard[one] <= left[one] for one in left)
        assert all(heard[one] >= heard_before.get(one, 0) for one in left)
        if (found := log.heard_at(now_s, delay_s)) is not None:
            last, samples = found
            assert isinstance(last, int)
            assert samples == heard[last]
            assert all(heard[one] == 0 for one in left if one > last)
        heard_before = heard


def test_without_a_word_from_the_listener_its_buffer_is_assumed() -> None:
    delay = ListenerDelay()
    assert delay.delay_s == ASSUMED_PLAYOUT_S
    delay.handle_round_trip(0.1)
    delay.handle_jitter(0.015)
    assert delay.network_s == pytest.approx(0.05)
    assert delay.playout_s == pytest.approx(ASSUMED_PLAYOUT_S + 0.03)
    delay.handle_jitter(0.0)
    assert delay.delay_s == pytest.approx(0.05 + ASSUMED_PLAYOUT_S)


def test_round_trips_are_smoothed_and_settle() -> None:
    delay = ListenerDelay()
    delay.handle_round_trip(0.1)
    delay.handle_round_trip(0.3)
    assert 0.05 < delay.network_s < 0.1
    for _ in range(30):
        delay.handle_round_trip(0.3)
    assert delay.network_s == pytest.approx(0.15, abs=0.001)


def test_the_listeners_own_word_counts_and_ours_on_the_network() -> None:
    delay = ListenerDelay()
    delay.handle_playout(0.12, 0.05)
    assert delay.delay_s == pytest.approx(0.145)
    delay.handle_round_trip(0.2)
    delay.handle_jitter(0.05)
    assert delay.delay_s == pytest.approx(0.22)
    delay.handle_playout(1e9, -5.0)
    assert delay.delay_s == MAX_DELAY_S
    delay.handle_playout(-1.0, None)
    assert delay.playout_s == 0.0

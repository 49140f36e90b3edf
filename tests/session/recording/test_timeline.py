"""The timeline of a recording: nothing lost, nothing twice, everything at its time."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from hypothesis import given, settings
from hypothesis import strategies as st

from session.recording.lane import SLACK_MS
from session.recording.timeline import MAX_WAITING_S, Timeline

RATE_HZ = 8_000
FRAME = RATE_HZ // 50
ORIGIN_S = 1000.0
LOUD = 9_000


def frame(value: int) -> bytes:
    return np.full(FRAME, value, np.int16).tobytes()


def taken(timeline: Timeline, until_s: float) -> npt.NDArray[np.int16]:
    """Everything before `until_s`, left and right; blocks must join."""
    parts = [np.zeros((0, 2), np.int16)]
    while (block := timeline.take(until_s)) is not None:
        part = np.frombuffer(block.pcm, np.int16).reshape(-1, 2)
        assert block.first_sample + len(part) == timeline.taken
        parts.append(part)
    return np.concatenate(parts)


def test_people_are_left_and_the_agent_right_at_their_times() -> None:
    timeline = Timeline(RATE_HZ, origin_s=ORIGIN_S)
    timeline.add_user(7, frame(100), ORIGIN_S)
    timeline.add_agent(frame(-200), ORIGIN_S + 0.5)
    sound = taken(timeline, ORIGIN_S + 1)
    assert sound.shape == (RATE_HZ, 2)
    assert (sound[:FRAME] == (100, 0)).all()
    middle = RATE_HZ // 2
    assert (sound[middle : middle + FRAME] == (0, -200)).all()
    assert np.count_nonzero(sound) == 2 * FRAME


def test_several_people_are_mixed_without_clipping() -> None:
    timeline = Timeline(RATE_HZ, origin_s=ORIGIN_S)
    for uid in (7, 8, 9):
        timeline.add_user(uid, frame(20_000), ORIGIN_S)
    timeline.add_agent(frame(32_000), ORIGIN_S)
    sound = taken(timeline, ORIGIN_S + 0.02)
    assert 24_000 < sound[0, 0] <= 32_767
    assert (sound == sound[0]).all()
    assert sound[0, 1] == 32_000, "one voice alone is kept as it is"


def test_a_frame_on_the_border_of_two_blocks_is_whole() -> None:
    timeline = Timeline(RATE_HZ, origin_s=ORIGIN_S)
    timeline.add_agent(np.arange(1, FRAME + 1, dtype=np.int16).tobytes(), ORIGIN_S)
    first = taken(timeline, ORIGIN_S + 0.007)
    second = taken(timeline, ORIGIN_S + 0.02)
    assert (np.concatenate([first, second])[:, 1] == np.arange(1, FRAME + 1)).all()


@settings(max_examples=50)
@given(
    bursts=st.lists(st.integers(0, 12), min_size=1, max_size=30),
    takes=st.lists(st.floats(0, 1), max_size=8),
)
def test_a_voice_that_comes_in_bursts_is_continuous(bursts: list[int], takes: list[float]) -> None:
    """Frames that were held up come at once; their sound has no gaps, and none is lost."""
    timeline = Timeline(RATE_HZ, origin_s=ORIGIN_S)
    count, at_s, arrivals = 0, ORIGIN_S, []
    for held_up in bursts:
        at_s += 0.02 * max(1, held_up)
        for _ in range(max(1, held_up)):
            count += 1
            arrivals.append((count, at_s))
    # The first frame is on time: what holds it up cannot be known.
    arrivals[0] = (1, ORIGIN_S + 0.02)
    parts = []
    for number, arrived_s in arrivals:
        timeline.add_user(7, frame(number), arrived_s)
        if takes and number % 3 == 0:
            parts.append(taken(timeline, ORIGIN_S + takes[number % len(takes)] * 0.02))
    parts.append(taken(timeline, timeline.end_s))
    left = np.concatenate(parts)[:, 0]
    sound = left[left != 0]
    assert (sound == np.repeat(np.arange(1, count + 1), FRAME)).all()
    assert (np.diff(np.flatnonzero(left)) == 1).all(), "a gap in the middle"
    assert timeline.lost_samples == 0


@settings(max_examples=15)
@given(
    ppm=st.integers(-500, 500),
    minutes=st.integers(1, 8),
    pause_frames=st.integers(1, 10),
)
def test_another_clock_does_not_shift_a_voice(ppm: int, minutes: int, pause_frames: int) -> None:
    """With a pause now and then, both sides stay together within the slack and a frame."""
    timeline = Timeline(RATE_HZ, origin_s=ORIGIN_S)
    interval_s = 0.02 * (1 - ppm / 1e6)
    for number in range(minutes * 3000):
        at_s = ORIGIN_S + number * interval_s
        is_pause = number % 100 < pause_frames
        timeline.add_user(7, frame(1 if is_pause else LOUD), at_s)
        lane = timeline._lanes[7]
        assert lane.end is not None
        # A second of frames must agree, and a pause must come, before anything is corrected.
        late_s = at_s + 0.02 - (ORIGIN_S + lane.end / RATE_HZ)
        assert abs(late_s) < SLACK_MS / 1000 + 0.025
        if number % 100 == 0:
            timeline.take(at_s - 0.4)
    assert timeline.lost_samples == 0


def test_a_voice_that_never_pauses_is_never_further_off_than_its_tolerance() -> None:
    for interval_s in (0.0199, 0.0201):
        timeline = Timeline(RATE_HZ, origin_s=ORIGIN_S)
        for number in range(5_000):
            at_s = ORIGIN_S + number * interval_s
            timeline.add_user(7, frame(LOUD), at_s)
            end = timeline._lanes[7].end
            assert end is not None
            assert abs(at_s + 0.02 - ORIGIN_S - end / RATE_HZ) < 0.28
            timeline.take(at_s - 0.4)


@settings(max_examples=50)
@given(st.lists(st.tuples(st.integers(1, 20), st.integers(3, 100)), min_size=1, max_size=20))
def test_the_agents_pauses_are_kept_exactly(spurts: list[tuple[int, int]]) -> None:
    timeline = Timeline(RATE_HZ, origin_s=ORIGIN_S)
    expected, at = [], 0
    for frames, pause in spurts:
        for _ in range(frames):
            timeline.add_agent(frame(5), ORIGIN_S + at / RATE_HZ)
            expected.append(at)
            at += FRAME
        at += pause * FRAME
        if at > 5 * RATE_HZ:
            break
    right = taken(timeline, timeline.end_s)[:, 1]
    starts = np.concatenate([np.arange(start, start + FRAME) for start in expected])
    assert (np.flatnonzero(right) == starts).all()


def test_memory_is_bounded_when_nobody_takes() -> None:
    timeline = Timeline(RATE_HZ, origin_s=ORIGIN_S)
    for number in range(50 * (MAX_WAITING_S + 5)):
        timeline.add_user(7, frame(3), ORIGIN_S + number * 0.02)
    assert timeline.lost_samples == 5 * RATE_HZ
    assert len(timeline._waiting) == 50 * MAX_WAITING_S
    sound = taken(timeline, ORIGIN_S + MAX_WAITING_S + 5)
    assert len(sound) == RATE_HZ * (MAX_WAITING_S + 5), "what was lost is silence in its place"
    assert np.count_nonzero(sound) == RATE_HZ * MAX_WAITING_S


def test_who_left_is_forgotten() -> None:
    timeline = Timeline(RATE_HZ, origin_s=ORIGIN_S)
    for uid in range(1, 100):
        timeline.add_user(uid, frame(3), ORIGIN_S + uid * 0.1)
        timeline.take(ORIGIN_S + uid * 0.1)
    assert len(timeline._lanes) <= 2


def test_what_comes_too_late_is_kept_a_little_later() -> None:
    timeline = Timeline(RATE_HZ, origin_s=ORIGIN_S)
    timeline.take(ORIGIN_S + 1)
    timeline.add_user(7, frame(3), ORIGIN_S + 0.9)
    timeline.add_user(7, frame(4), ORIGIN_S + 0.92)
    left = taken(timeline, ORIGIN_S + 2)[:, 0]
    assert (left[: 2 * FRAME] == np.repeat([3, 4], FRAME)).all()
    assert timeline.lost_samples == 0


def test_the_timeline_may_go_on_where_another_ended() -> None:
    timeline = Timeline(RATE_HZ, origin_s=ORIGIN_S, first_sample=3 * RATE_HZ)
    timeline.add_agent(frame(9), ORIGIN_S + 3.5)
    block = timeline.take(ORIGIN_S + 4)
    assert block is not None
    assert (block.first_sample, len(block.pcm)) == (3 * RATE_HZ, 4 * RATE_HZ)

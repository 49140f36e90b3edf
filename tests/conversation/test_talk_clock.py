"""Pauses and overlaps are found as the call goes on, and are those that a look back finds."""

from __future__ import annotations

import itertools

from hypothesis import assume, given
from hypothesis import strategies as st

from conversation.talk_clock import BRIDGED_S, OVERLAP_S, PAUSE_S, Talk, TalkClock


def test_a_long_silence_between_two_voices_is_a_pause() -> None:
    clock = TalkClock()
    assert clock.user_changed(100.0, is_speaking=True) == []
    assert clock.user_changed(101.0, is_speaking=False) == []
    assert clock.agent_changed(104.0, is_speaking=True) == [Talk("pause", 101.0, 104.0)]
    assert clock.agent_changed(105.0, is_speaking=False) == []
    assert clock.agent_changed(106.5, is_speaking=True) == []
    assert clock.agent_changed(107.0, is_speaking=False) == []
    assert clock.user_changed(110.0, is_speaking=True) == [Talk("pause", 107.0, 110.0)]


def test_both_voices_at_once_are_an_overlap_until_one_of_them_ends() -> None:
    clock = TalkClock()
    clock.agent_changed(10.0, is_speaking=True)
    clock.user_changed(12.0, is_speaking=True)
    assert clock.agent_changed(12.5, is_speaking=False) == [Talk("overlap", 12.0, 12.5)]
    assert clock.agent_changed(13.0, is_speaking=True) == []
    assert clock.user_changed(14.0, is_speaking=False) == []
    # That it did not go on is known with the next change.
    assert clock.agent_changed(16.0, is_speaking=False) == [Talk("overlap", 13.0, 14.0)]


def test_a_gap_between_words_ends_no_overlap() -> None:
    clock = TalkClock()
    clock.agent_changed(10.0, is_speaking=True)
    for at_s in (11.0, 11.2, 11.4):
        assert clock.user_changed(at_s, is_speaking=True) == []
        assert clock.user_changed(at_s + 0.1, is_speaking=False) == []
    assert clock.agent_changed(13.0, is_speaking=False) == [Talk("overlap", 11.0, 11.5)]


def test_a_voice_that_is_noticed_late_turns_no_time_back() -> None:
    clock = TalkClock()
    clock.agent_changed(10.0, is_speaking=True)
    clock.user_changed(10.5, is_speaking=True)
    clock.agent_changed(11.0, is_speaking=False)
    # The beginning of it was before the agent's end.
    assert clock.user_changed(10.9, is_speaking=False) == []
    assert clock.agent_changed(13.5, is_speaking=True) == [Talk("pause", 11.0, 13.5)]


# Which voice changes, and so much later than the change before, in ms.
STEPS = st.lists(st.tuples(st.booleans(), st.integers(0, 5_000)), max_size=40)
# Thresholds and what rounding makes of them.
BORDERS_MS = {199, 200, 201, 299, 300, 301, 1_999, 2_000, 2_001}


@given(STEPS)
def test_what_is_found_is_what_a_look_at_each_moment_finds(steps: list[tuple[bool, int]]) -> None:
    clock, found = TalkClock(), list[Talk]()
    speaking = [False, False]
    changes: tuple[list[int], list[int]] = ([], [])
    now_ms = 1_000
    for is_agent, later_ms in [*steps, (True, 5_000), (True, 5_000), (True, 5_000)]:
        now_ms += later_ms + 1
        speaking[is_agent] = not speaking[is_agent]
        changes[is_agent].append(now_ms)
        change = clock.agent_changed if is_agent else clock.user_changed
        found += change(now_ms / 1000, is_speaking=speaking[is_agent])
    edges = sorted([*changes[0], *changes[1]])
    assume(not any(b - a in BORDERS_MS for a, b in itertools.combinations(edges, 2)))
    user, agent = (_pairs(one, now_ms) for one in changes)
    expected = _looked_at(_bridged(user), agent)
    assert [one for one in _in_ms(found) if one[2] < now_ms] == [
        one for one in expected if one[2] < now_ms
    ]


def _pairs(changes: list[int], end_ms: int) -> list[tuple[int, int]]:
    whole = changes if len(changes) % 2 == 0 else [*changes, end_ms]
    return list(zip(whole[::2], whole[1::2], strict=True))


def _bridged(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    made: list[tuple[int, int]] = []
    for begin, end in spans:
        if made and begin - made[-1][1] < BRIDGED_S * 1000:
            made[-1] = (made[-1][0], end)
        else:
            made.append((begin, end))
    return made


def _looked_at(
    user: list[tuple[int, int]], agent: list[tuple[int, int]]
) -> list[tuple[str, int, int]]:
    edges = sorted({edge for span in (*user, *agent) for edge in span})
    runs: list[tuple[str, int, int]] = []
    for begin, end in itertools.pairwise(edges):
        count = sum(
            any(one <= begin and end <= other for one, other in side) for side in (user, agent)
        )
        kind = ("pause", "", "overlap")[count]
        is_same = bool(runs) and runs[-1][0] == kind
        runs.append((kind, runs.pop()[1] if is_same else begin, end))
    least_ms = {"pause": PAUSE_S * 1000, "overlap": OVERLAP_S * 1000}
    return [one for one in runs if one[0] and one[2] - one[1] > least_ms[one[0]]]


def _in_ms(found: list[Talk]) -> list[tuple[str, int, int]]:
    return [(one.kind, round(one.began_s * 1000), round(one.ended_s * 1000)) for one in found]

"""Interruption or not: the rules, as tables, and that every doubt ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conversation.interruption import (
    Cause,
    Decision,
    InterruptMode,
    InterruptPolicy,
    WordJudge,
    provider_turn_detection,
)
from conversation.interruption_judge import (
    BLIP_QUIET_S,
    ECHO_GUARD_S,
    MAX_DOUBT_S,
    MISFIRE_REST_S,
    UNCONFIRMED_S,
    InterruptionJudge,
)

SPOKEN = "the weather will be fine today"


@pytest.mark.parametrize(
    ("transcript", "min_words", "cause"),
    [
        ("", 1, Cause.NOISE),
        ("[cough]", 1, Cause.NOISE),
        ("Mhm.", 1, Cause.BACKCHANNEL),
        ("uh-huh, right", 3, Cause.BACKCHANNEL),
        ("fine today", 1, Cause.ECHO),
        ("the weather will be fine", 1, Cause.ECHO),
        ("Stop", 1, Cause.WORDS),
        ("Stop", 2, Cause.FEW_WORDS),
        ("Yeah, but tomorrow?", 3, Cause.WORDS),
        ("copy that", 1, Cause.BACKCHANNEL),
    ],
)
def test_words(transcript: str, min_words: int, cause: Cause) -> None:
    policy = InterruptPolicy(min_words=min_words, backchannels=("copy that",))
    assert WordJudge(policy, "en").judge(transcript, spoken=SPOKEN) is cause


VAD: dict[str, Any] = {"type": "semantic_vad", "eagerness": "low", "create_response": True}
OFF = {"create_response": False, "interrupt_response": False}


@pytest.mark.parametrize(
    ("wanted", "mode", "expected"),
    [
        (None, InterruptMode.IMMEDIATE, None),
        (VAD, InterruptMode.IMMEDIATE, VAD),
        (None, InterruptMode.CONFIRM, {"type": "server_vad", **OFF}),
        (VAD, InterruptMode.NEVER, {**VAD, **OFF}),
        ({"type": "none"}, InterruptMode.CONFIRM, False),
        ({"type": "none"}, InterruptMode.IMMEDIATE, False),
    ],
)
def test_what_a_provider_is_told(wanted: Any, mode: InterruptMode, expected: Any) -> None:
    assert provider_turn_detection(wanted, mode) == expected


class Story:
    """A judge and a clock."""

    def __init__(self, **policy: Any) -> None:
        self.judge = InterruptionJudge(InterruptPolicy(**policy))
        self.now_s = 100.0

    def at(self, seconds: float) -> Story:
        """Time passes to `seconds` after the beginning; nothing may be due before."""
        target_s = 100.0 + seconds
        deadline_s = self.judge.deadline_s
        assert deadline_s is None or deadline_s >= target_s - 1e-6, "a decision was due before"
        self.now_s = target_s
        return self

    def starts(self, item_id: str = "a", *, is_at_stake: bool = True) -> bool:
        return self.judge.handle_speech_started(item_id, now_s=self.now_s, is_at_stake=is_at_stake)

    def stops(self, item_id: str = "a") -> None:
        self.judge.handle_speech_stopped(item_id, now_s=self.now_s)

    def says(self, words: str, item_id: str = "a") -> Decision | None:
        return self.judge.handle_words(item_id, words, spoken=SPOKEN, now_s=self.now_s)

    def voice(self) -> None:
        self.judge.handle_voice_started(self.now_s, now_s=self.now_s, is_at_stake=True)

    def quiet(self) -> None:
        self.judge.handle_voice_stopped(self.now_s)


def ends(story: Story) -> tuple[float, Cause, tuple[str, ...]]:
    """When (seconds after the beginning) and how it ends if nothing more is heard."""
    deadline_s = story.judge.deadline_s
    assert deadline_s is not None
    assert story.judge.poll(deadline_s - 0.001) is None
    decision = story.judge.poll(deadline_s)
    assert decision is not None
    assert not story.judge.is_in_doubt
    return round(deadline_s - 100.0, 3), decision.cause, decision.item_ids


def _cough(story: Story) -> None:
    story.voice()
    story.at(0.1).starts()
    story.at(0.12).quiet()


def _knock_nobody_confirms(story: Story) -> None:
    story.voice()


def _mhm_without_words(story: Story) -> None:
    story.voice()
    story.at(0.1).starts()
    story.at(0.4).quiet()
    story.at(0.85).stops()


def _sentence_without_words(story: Story) -> None:
    story.voice()
    story.at(0.1).starts()
    story.at(0.7).quiet()
    story.at(1.1).stops()


def _long_speech(story: Story) -> None:
    story.voice()
    story.at(0.1).starts()


def _long_speech_only_the_provider_hears(story: Story) -> None:
    story.starts()


def _provider_that_waits_for_sense(story: Story) -> None:
    story.voice()
    story.at(0.1).starts()
    story.at(0.3).quiet()


@pytest.mark.parametrize(
    ("happens", "expected"),
    [
        (_cough, (0.12 + BLIP_QUIET_S, Cause.SHORT, ("a",))),
        (_knock_nobody_confirms, (UNCONFIRMED_S, Cause.UNCONFIRMED, ())),
        (_mhm_without_words, (0.85 + 0.8, Cause.SHORT, ("a",))),
        (_sentence_without_words, (1.1 + 0.8, Cause.LENGTH, ("a",))),
        (_long_speech, (1.0, Cause.LENGTH, ("a",))),
        (_long_speech_only_the_provider_hears, (1.5, Cause.LENGTH, ("a",))),
        (_provider_that_waits_for_sense, (0.3 + 0.5 + 0.8, Cause.SHORT, ("a",))),
    ],
)
def test_how_a_doubt_ends_by_time(
    happens: Callable[[Story], None], expected: tuple[float, Cause, tuple[str, ...]]
) -> None:
    story = Story()
    happens(story)
    assert story.judge.should_pause
    when_s, cause, items = expected
    assert ends(story) == (round(when_s, 3), cause, items)


def test_words_end_a_doubt_at_once() -> None:
    story = Story()
    assert story.starts()
    story.at(0.5).stops()
    assert story.at(0.6).says("stop please") == Decision(Cause.WORDS, ("a",))
    assert not story.judge.is_in_doubt


def test_a_mhm_and_a_stop_are_one_doubt_and_the_stop_counts() -> None:
    story = Story()
    story.starts("a")
    story.at(0.5).stops("a")
    story.at(0.6).starts("b")
    assert story.says("mhm", "a") is None
    assert story.judge.should_pause
    story.at(0.9).stops("b")
    decision = story.says("stop", "b")
    assert decision is not None
    assert decision.is_cut
    assert decision.item_ids == ("a", "b")


def test_what_was_let_pass_can_still_turn_out_to_be_words() -> None:
    story = Story(words_timeout_ms=0)
    _cough(story)
    assert ends(story)[1] is Cause.SHORT
    assert story.at(1.5).says("stop") == Decision(Cause.WORDS, ("a",))
    assert story.says("stop") is None, "a turn is judged once"


def test_the_provider_may_tell_of_a_blip_when_it_is_over() -> None:
    story = Story()
    story.voice()
    story.at(0.1).quiet()
    assert ends(story)[1] is Cause.SHORT
    assert story.at(0.4).starts("a")
    assert not story.judge.should_pause
    assert story.at(0.8).says("mhm") == Decision(Cause.BACKCHANNEL, ("a",))


def test_a_reply_nobody_heard_yet_is_not_held_for_the_words() -> None:
    story = Story()
    story.voice()
    story.at(0.1)
    story.judge.handle_speech_started("a", now_s=story.now_s, is_at_stake=True, is_heard=False)
    story.at(0.8).quiet()
    story.at(1.2).stops()
    assert story.judge.poll(story.now_s) == Decision(Cause.LENGTH, ("a",))


def test_without_a_reply_nothing_is_in_doubt() -> None:
    story = Story()
    assert not story.starts(is_at_stake=False)
    assert story.judge.deadline_s is None
    assert story.says("hello") is None


def test_words_that_will_never_come() -> None:
    story = Story()
    _sentence_without_words(story)
    decision = story.judge.handle_no_words("a", now_s=story.now_s)
    assert decision == Decision(Cause.LENGTH, ("a",))
    story = Story()
    _mhm_without_words(story)
    assert story.judge.handle_no_words("a", now_s=story.now_s) == Decision(Cause.SHORT, ("a",))


def test_an_echo_makes_wary_for_a_while() -> None:
    story = Story()
    story.starts()
    story.at(0.3).stops()
    assert story.says("fine today") == Decision(Cause.ECHO, ("a",))
    story.at(1.0).voice()
    assert not story.judge.is_in_doubt, "the local ear cannot tell an echo"
    story.starts("b")
    assert story.judge.is_in_doubt
    assert not story.judge.should_pause
    assert story.at(3.0).says("stop", "b") == Decision(Cause.WORDS, ("b",))
    story.at(1.0 + ECHO_GUARD_S).starts("c")
    assert story.judge.should_pause


def test_a_local_ear_that_was_wrong_twice_rests() -> None:
    story = Story()
    for start_s in (0.0, 2.0):
        story.at(start_s).voice()
        assert story.judge.should_pause
        story.at(start_s + 0.1).quiet()
        assert ends(story)[1] is Cause.SHORT
    story.at(4.0).voice()
    assert not story.judge.should_pause
    story.quiet()
    story.at(2.5 + MISFIRE_REST_S).voice()
    assert story.judge.should_pause


def test_never_judges_and_does_not_pause() -> None:
    story = Story(mode="never")
    story.voice()
    assert not story.judge.is_in_doubt
    story.starts()
    assert story.judge.is_in_doubt
    assert not story.judge.should_pause
    decision = story.at(0.3).says("stop")
    assert decision is not None
    assert decision.is_cut


def test_what_was_decided_elsewhere_is_no_longer_in_doubt() -> None:
    story = Story()
    story.starts()
    assert story.judge.settle() == ("a",)
    assert story.judge.settle() == ()
    assert story.judge.deadline_s is None


STEPS = st.sampled_from(
    ["voice", "quiet", "start a", "start b", "stop a", "stop b", "mhm a", "stop! b", "none a"]
)


@given(
    st.lists(st.tuples(st.floats(0, 2), STEPS), max_size=40),
    st.sampled_from(list(InterruptMode)),
    st.integers(0, 2000),
)
def test_whatever_happens_every_doubt_ends_and_no_turn_is_decided_twice(
    steps: list[tuple[float, str]], mode: InterruptMode, timeout_ms: int
) -> None:
    story = Story(mode=mode, words_timeout_ms=timeout_ms)
    judge = story.judge
    for wait_s, step in [*steps, (2.0, "quiet"), (MAX_DOUBT_S + 1, "quiet")]:
        target_s = story.now_s + wait_s
        while judge.deadline_s is not None and judge.deadline_s <= target_s:
            at_s = max(judge.deadline_s, story.now_s)
            assert judge.poll(at_s) is not None, "a deadline decides"
        story.now_s = target_s
        match step.split():
            case ["voice"]:
                story.voice()
            case ["quiet"]:
                story.quiet()
            case ["start", item_id]:
                story.starts(item_id)
            case ["stop", item_id]:
                story.stops(item_id)
            case ["none", item_id]:
                judge.handle_no_words(item_id, now_s=story.now_s)
            case [words, item_id]:
                story.says(words, item_id)
        if judge.is_in_doubt:
            assert judge.deadline_s is not None
            assert judge.deadline_s <= story.now_s + MAX_DOUBT_S
        else:
            assert not judge.should_pause
    assert not judge.is_in_doubt

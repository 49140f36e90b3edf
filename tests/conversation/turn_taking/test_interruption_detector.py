"""Interruption or not: the rules, as tables, and that every doubt ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conversation.turn_taking.interrupt_policy import (
    Decision,
    InterruptCause,
    InterruptMode,
    InterruptPolicy,
    TranscriptClassifier,
    provider_turn_detection,
)
from conversation.turn_taking.interruption_detector import (
    ECHO_GUARD_S,
    FALSE_ALARM_REST_S,
    MAX_PENDING_S,
    SHORT_SOUND_QUIET_S,
    UNCONFIRMED_S,
    InterruptionDetector,
)

SPOKEN = "the weather will be fine today"


@pytest.mark.parametrize(
    ("transcript", "min_words", "cause"),
    [
        ("", 1, InterruptCause.NOISE),
        ("[cough]", 1, InterruptCause.NOISE),
        ("Mhm.", 1, InterruptCause.BACKCHANNEL),
        ("uh-huh, right", 3, InterruptCause.BACKCHANNEL),
        ("fine today", 1, InterruptCause.ECHO),
        ("the weather will be fine", 1, InterruptCause.ECHO),
        ("Stop", 1, InterruptCause.WORDS),
        ("Stop", 2, InterruptCause.FEW_WORDS),
        ("Yeah, but tomorrow?", 3, InterruptCause.WORDS),
        ("copy that", 1, InterruptCause.BACKCHANNEL),
    ],
)
def test_words(transcript: str, min_words: int, cause: InterruptCause) -> None:
    policy = InterruptPolicy(min_words=min_words, backchannels=("copy that",))
    assert TranscriptClassifier(policy, "en").classify(transcript, spoken=SPOKEN) is cause


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
        self.detector = InterruptionDetector(InterruptPolicy(**policy))
        self.now_s = 100.0

    def at(self, seconds: float) -> Story:
        """Time passes to `seconds` after the beginning; nothing may be due before."""
        target_s = 100.0 + seconds
        deadline_s = self.detector.deadline_s
        assert deadline_s is None or deadline_s >= target_s - 1e-6, "a decision was due before"
        self.now_s = target_s
        return self

    def starts(self, item_id: str = "a", *, is_interruptible: bool = True) -> bool:
        return self.detector.handle_speech_started(
            item_id, now_s=self.now_s, is_interruptible=is_interruptible
        )

    def stops(self, item_id: str = "a") -> None:
        self.detector.handle_speech_stopped(item_id, now_s=self.now_s)

    def says(self, words: str, item_id: str = "a") -> Decision | None:
        return self.detector.handle_words(item_id, words, spoken=SPOKEN, now_s=self.now_s)

    def voice(self) -> None:
        self.detector.handle_voice_started(self.now_s, now_s=self.now_s, is_interruptible=True)

    def quiet(self) -> None:
        self.detector.handle_voice_stopped(self.now_s)


def ends(story: Story) -> tuple[float, InterruptCause, tuple[str, ...]]:
    """When (seconds after the beginning) and how it ends if nothing more is heard."""
    deadline_s = story.detector.deadline_s
    assert deadline_s is not None
    assert story.detector.poll(deadline_s - 0.001) is None
    decision = story.detector.poll(deadline_s)
    assert decision is not None
    assert not story.detector.is_pending
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
        (_cough, (0.12 + SHORT_SOUND_QUIET_S, InterruptCause.SHORT, ("a",))),
        (_knock_nobody_confirms, (UNCONFIRMED_S, InterruptCause.UNCONFIRMED, ())),
        (_mhm_without_words, (0.85 + 0.8, InterruptCause.SHORT, ("a",))),
        (_sentence_without_words, (1.1 + 0.8, InterruptCause.LENGTH, ("a",))),
        (_long_speech, (1.0, InterruptCause.LENGTH, ("a",))),
        (_long_speech_only_the_provider_hears, (1.5, InterruptCause.LENGTH, ("a",))),
        (_provider_that_waits_for_sense, (0.3 + 0.5 + 0.8, InterruptCause.SHORT, ("a",))),
    ],
)
def test_how_a_doubt_ends_by_time(
    happens: Callable[[Story], None], expected: tuple[float, InterruptCause, tuple[str, ...]]
) -> None:
    story = Story()
    happens(story)
    assert story.detector.should_pause
    when_s, cause, items = expected
    assert ends(story) == (round(when_s, 3), cause, items)


def test_words_end_a_doubt_at_once() -> None:
    story = Story()
    assert story.starts()
    story.at(0.5).stops()
    assert story.at(0.6).says("stop please") == Decision(InterruptCause.WORDS, ("a",))
    assert not story.detector.is_pending


def test_a_mhm_and_a_stop_are_one_doubt_and_the_stop_counts() -> None:
    story = Story()
    story.starts("a")
    story.at(0.5).stops("a")
    story.at(0.6).starts("b")
    assert story.says("mhm", "a") is None
    assert story.detector.should_pause
    story.at(0.9).stops("b")
    decision = story.says("stop", "b")
    assert decision is not None
    assert decision.is_cut
    assert decision.item_ids == ("a", "b")


def test_what_was_let_pass_can_still_turn_out_to_be_words() -> None:
    story = Story(words_timeout_ms=0)
    _cough(story)
    assert ends(story)[1] is InterruptCause.SHORT
    assert story.at(1.5).says("stop") == Decision(InterruptCause.WORDS, ("a",))
    assert story.says("stop") is None, "a turn is judged once"


def test_the_provider_may_tell_of_a_blip_when_it_is_over() -> None:
    story = Story()
    story.voice()
    story.at(0.1).quiet()
    assert ends(story)[1] is InterruptCause.SHORT
    assert story.at(0.4).starts("a")
    assert not story.detector.should_pause
    assert story.at(0.8).says("mhm") == Decision(InterruptCause.BACKCHANNEL, ("a",))


def test_a_reply_nobody_heard_yet_is_not_held_for_the_words() -> None:
    story = Story()
    story.voice()
    story.at(0.1)
    story.detector.handle_speech_started(
        "a", now_s=story.now_s, is_interruptible=True, is_heard=False
    )
    story.at(0.8).quiet()
    story.at(1.2).stops()
    assert story.detector.poll(story.now_s) == Decision(InterruptCause.LENGTH, ("a",))


def test_without_a_reply_nothing_is_in_doubt() -> None:
    story = Story()
    assert not story.starts(is_interruptible=False)
    assert story.detector.deadline_s is None
    assert story.says("hello") is None


def test_words_that_will_never_come() -> None:
    story = Story()
    _sentence_without_words(story)
    decision = story.detector.handle_no_words("a", now_s=story.now_s)
    assert decision == Decision(InterruptCause.LENGTH, ("a",))
    story = Story()
    _mhm_without_words(story)
    assert story.detector.handle_no_words("a", now_s=story.now_s) == Decision(
        InterruptCause.SHORT, ("a",)
    )


def test_an_echo_makes_wary_for_a_while() -> None:
    story = Story()
    story.starts()
    story.at(0.3).stops()
    assert story.says("fine today") == Decision(InterruptCause.ECHO, ("a",))
    story.at(1.0).voice()
    assert not story.detector.is_pending, "the local ear cannot tell an echo"
    story.starts("b")
    assert story.detector.is_pending
    assert not story.detector.should_pause
    assert story.at(3.0).says("stop", "b") == Decision(InterruptCause.WORDS, ("b",))
    story.at(1.0 + ECHO_GUARD_S).starts("c")
    assert story.detector.should_pause


def test_a_local_ear_that_was_wrong_twice_rests() -> None:
    story = Story()
    for start_s in (0.0, 2.0):
        story.at(start_s).voice()
        assert story.detector.should_pause
        story.at(start_s + 0.1).quiet()
        assert ends(story)[1] is InterruptCause.SHORT
    story.at(4.0).voice()
    assert not story.detector.should_pause
    story.quiet()
    story.at(2.5 + FALSE_ALARM_REST_S).voice()
    assert story.detector.should_pause


def test_never_judges_and_does_not_pause() -> None:
    story = Story(mode="never")
    story.voice()
    assert not story.detector.is_pending
    story.starts()
    assert story.detector.is_pending
    assert not story.detector.should_pause
    decision = story.at(0.3).says("stop")
    assert decision is not None
    assert decision.is_cut


def test_what_was_decided_elsewhere_is_no_longer_in_doubt() -> None:
    story = Story()
    story.starts()
    assert story.detector.resolve() == ("a",)
    assert story.detector.resolve() == ()
    assert story.detector.deadline_s is None


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
    judge = story.detector
    for wait_s, step in [*steps, (2.0, "quiet"), (MAX_PENDING_S + 1, "quiet")]:
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
        if judge.is_pending:
            assert judge.deadline_s is not None
            assert judge.deadline_s <= story.now_s + MAX_PENDING_S
        else:
            assert not judge.should_pause
    assert not judge.is_pending

"""From where the user's audio must be told again."""

from __future__ import annotations

from realtime import events as ours
from realtime.resilience.turn_tracker import TurnTracker

RATE_HZ = 1000
DONE = ours.ResponseDone("r", ours.ResponseStatus.COMPLETED)


def turns(*, base: int = 0, is_manual: bool = False) -> TurnTracker:
    return TurnTracker(base=base, sample_rate_hz=RATE_HZ, is_manual=is_manual)


def test_in_silence_only_the_last_moment_may_hold_an_onset() -> None:
    heard = turns()
    assert heard.resend_from(sent=10_000, tail_s=1.0) == 9_000
    assert turns(base=9_500).resend_from(sent=10_000, tail_s=1.0) == 9_500


def test_a_turn_in_the_making_is_told_from_its_beginning() -> None:
    heard = turns(base=5_000)
    heard.handle(ours.SpeechStarted("a", 4_000), sent=9_500)
    assert heard.speaking == "a"
    assert heard.resend_from(sent=20_000, tail_s=1.0) == 9_000


def test_a_claim_of_long_ago_is_not_believed() -> None:
    heard = turns()
    heard.handle(ours.SpeechStarted("a", 0), sent=60_000)
    assert heard.resend_from(sent=60_000, tail_s=1.0) == 58_000


def test_a_turn_is_told_again_until_its_words_are_known() -> None:
    heard = turns()
    heard.handle(ours.SpeechStarted("a", 1_000), sent=1_500)
    heard.handle(ours.SpeechStopped("a", 3_000), sent=3_500)
    assert heard.speaking is None
    assert not heard.has_all_words
    assert heard.resend_from(sent=4_000, tail_s=5.0) == 1_000
    heard.handle(ours.InputTranscriptDone("a", "hello"), sent=4_000)
    assert heard.has_all_words
    assert heard.resend_from(sent=4_000, tail_s=5.0) == 3_000, "nothing settled is told twice"


def test_a_complete_reply_settles_what_it_answered() -> None:
    heard = turns()
    heard.handle(ours.SpeechStarted("a", 1_000), sent=1_500)
    heard.handle(ours.SpeechStopped("a", 3_000), sent=3_500)
    heard.handle(DONE, sent=6_000)
    assert heard.resend_from(sent=6_000, tail_s=1.0) == 5_000
    assert heard.open_items == []


def test_turns_by_hand_are_told_from_the_last_one_that_is_settled() -> None:
    heard = turns(is_manual=True)
    assert heard.resend_from(sent=8_000, tail_s=1.0) == 0
    heard.handle_commit(sent=8_000)
    heard.handle(ours.InputCommitted("a"), sent=8_100)
    assert heard.resend_from(sent=9_000, tail_s=1.0) == 0
    heard.handle(ours.InputTranscriptDone("a", "hello"), sent=9_000)
    assert heard.resend_from(sent=9_000, tail_s=1.0) == 8_000

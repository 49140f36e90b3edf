"""One pause: what is learnt of it, in any order, and how long the detector then waits."""

from __future__ import annotations

import pytest

from speech.turns.eagerness import patience, semantic_settings
from speech.turns.judged_pause import JudgedPause
from speech.turns.turn_detector import SpeechStopped, TurnDetector

WINDOW_MS = 32
PATIENCE = patience("auto")


class _Pause:
    """A turn that pauses, and its judge."""

    def __init__(self) -> None:
        self.turns = TurnDetector(
            semantic_settings("auto"), window_ms=WINDOW_MS, max_turn_ms=60_000
        )
        self._now_ms = 0
        self._hear(0.9)
        self._hear(0.9)
        self.judge = JudgedPause(self.turns, PATIENCE)

    def _hear(self, probability: float) -> bool:
        self._now_ms += WINDOW_MS
        return isinstance(self.turns.handle_window(probability, self._now_ms), SpeechStopped)

    def silence_until_end_ms(self) -> int:
        """Windows of silence up to the end of the turn, in milliseconds."""
        for windows in range(1, 500):
            if self._hear(0.0):
                return windows * WINDOW_MS
        raise AssertionError("the turn does not end")


def _within_a_window(found_ms: int, wanted_ms: int) -> bool:
    return 0 <= found_ms - wanted_ms < WINDOW_MS


def test_nothing_known_is_waited_out_the_longest() -> None:
    assert _within_a_window(_Pause().silence_until_end_ms(), PATIENCE.longest_ms)


@pytest.mark.parametrize("is_voice_first", [True, False])
def test_voice_and_words_together_end_a_turn_early(is_voice_first: bool) -> None:
    pause = _Pause()
    if is_voice_first:
        pause.judge.add_voice(0.95)
    pause.judge.add_words("Turn on the lights.")
    if not is_voice_first:
        pause.judge.add_voice(0.95)
    assert _within_a_window(pause.silence_until_end_ms(), PATIENCE.sure_ms)


def test_an_unfinished_sentence_is_waited_for_whatever_the_voice_says() -> None:
    pause = _Pause()
    pause.judge.add_voice(0.99)
    pause.judge.add_words("The package arrived yesterday but")
    assert not pause.judge.may_end_turn
    assert not pause.judge.should_listen()
    assert _within_a_window(pause.silence_until_end_ms(), PATIENCE.longest_ms)


def test_a_later_look_at_the_silence_may_make_sure() -> None:
    pause = _Pause()
    pause.judge.add_words("That sounds good.")
    assert pause.judge.should_listen()
    pause.judge.add_voice(0.1)
    assert pause.judge.should_listen()
    pause.judge.add_voice(0.9)
    assert not pause.judge.should_listen()
    assert _within_a_window(pause.silence_until_end_ms(), PATIENCE.sure_ms)


def test_one_look_is_enough_until_the_words_are_known() -> None:
    judge = _Pause().judge
    assert judge.should_listen()
    judge.add_voice(0.1)
    assert not judge.should_listen()
    judge.add_words("That sounds good.")
    assert judge.should_listen()


def test_looks_are_bounded() -> None:
    judge = _Pause().judge
    judge.add_words("That sounds good.")
    looks = 0
    while judge.should_listen():
        judge.add_voice(0.1)
        looks += 1
    assert 2 <= looks <= 8


@pytest.mark.parametrize("words", ["Turn on the lights.", None])
def test_without_a_model_words_decide_and_without_both_the_usual_silence(words: str | None) -> None:
    pause = _Pause()
    pause.judge.add_voice(None)
    pause.judge.add_words(words)
    assert _within_a_window(pause.silence_until_end_ms(), PATIENCE.likely_ms)


def test_a_voice_that_is_not_judged_yet_is_not_waited_for() -> None:
    pause = _Pause()
    assert pause.judge.should_listen()
    pause.judge.add_words("Turn on the lights.")
    assert _within_a_window(pause.silence_until_end_ms(), PATIENCE.likely_ms)


def test_what_comes_after_the_pause_changes_nothing() -> None:
    pause = _Pause()
    pause.judge.end()
    pause.judge.add_words("Turn on the lights.")
    pause.judge.add_voice(0.99)
    assert not pause.judge.should_listen()
    assert _within_a_window(pause.silence_until_end_ms(), PATIENCE.longest_ms)

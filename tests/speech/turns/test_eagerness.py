"""How long a pause is waited out, by eagerness and by what is known of it."""

from __future__ import annotations

from itertools import pairwise

import pytest

from speech.turns.eagerness import PauseEvidence, patience, semantic_settings, silence_ms
from speech.turns.turn_detector import TurnSettings
from speech.turns.words import Completeness

SURE, UNCLEAR, UNLIKELY = 0.95, 0.5, 0.05
PLAIN_SILENCE_MS = TurnSettings().silence_ms


def _wait(
    eagerness: str | None, probability: float | None, words: Completeness | None, **more: bool
) -> int:
    evidence = PauseEvidence(probability, words, **{"is_recognising": False, **more})
    return silence_ms(patience(eagerness), evidence)


@pytest.mark.parametrize("eagerness", ["high", "medium", "auto", None])
def test_a_turn_that_is_surely_over_ends_before_plain_detection(eagerness: str | None) -> None:
    assert _wait(eagerness, SURE, Completeness.COMPLETE) < PLAIN_SILENCE_MS


@pytest.mark.parametrize(
    ("eagerness", "longest_ms"), [("high", 2_000), ("auto", 4_000), ("low", 8_000)]
)
def test_a_sentence_that_cannot_end_is_waited_for_as_long_as_openai_does(
    eagerness: str, longest_ms: int
) -> None:
    for probability in (SURE, UNLIKELY, None):
        assert _wait(eagerness, probability, Completeness.INCOMPLETE) == longest_ms


@pytest.mark.parametrize("eagerness", ["high", "medium", "low"])
def test_the_more_doubt_the_longer(eagerness: str) -> None:
    waits = [
        _wait(eagerness, SURE, Completeness.COMPLETE),
        _wait(eagerness, UNCLEAR, Completeness.COMPLETE),
        _wait(eagerness, UNLIKELY, Completeness.COMPLETE),
        _wait(eagerness, UNLIKELY, Completeness.DOUBTFUL),
    ]
    assert all(shorter < longer for shorter, longer in pairwise(waits))
    assert _wait(eagerness, SURE, Completeness.DOUBTFUL) == waits[2]
    assert _wait(eagerness, None, Completeness.COMPLETE) == waits[1]


def test_the_less_eager_the_longer() -> None:
    for evidence in (
        (SURE, Completeness.COMPLETE),
        (UNLIKELY, Completeness.COMPLETE),
        (SURE, Completeness.INCOMPLETE),
    ):
        waits = [_wait(eagerness, *evidence) for eagerness in ("high", "medium", "low")]
        assert waits == sorted(set(waits))
        assert _wait("auto", *evidence) == waits[1]


def test_nothing_ends_before_the_words_are_known() -> None:
    assert _wait("high", SURE, None, is_recognising=True) == 2_000


def test_more_is_listened_to_until_the_voice_is_sure_or_the_words_cannot_end() -> None:
    assert PauseEvidence(SURE, None).is_settled
    assert PauseEvidence(None, Completeness.INCOMPLETE).is_settled
    assert not PauseEvidence(None, Completeness.COMPLETE).is_settled
    assert not PauseEvidence(UNCLEAR, Completeness.DOUBTFUL).is_settled


def test_without_words_the_voice_decides() -> None:
    assert _wait("high", SURE, None) == _wait("high", SURE, Completeness.COMPLETE)


@pytest.mark.parametrize("eagerness", ["high", "medium", "low", "auto"])
def test_a_pause_is_judged_before_it_can_end_the_turn(eagerness: str) -> None:
    settings = semantic_settings(eagerness)
    assert settings.first_look_ms < patience(eagerness).sure_ms
    assert settings.look_again_ms is not None

"""Words from milliseconds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conversation.heard_text import DEFAULT_PACE_MS, SpeakingPace, heard_length, heard_text, pcm_ms

WORDS = "one two three four"


@pytest.mark.parametrize(
    ("played_ms", "heard"),
    [
        (0, ""),
        (-5, ""),
        (100, ""),
        (200, "one"),
        (500, "one two"),
        (999, "one two three"),
        (1000, WORDS),
        (5000, WORDS),
    ],
)
def test_heard_words_are_the_whole_words_of_the_played_share(played_ms: float, heard: str) -> None:
    assert heard_text(WORDS, received_ms=1000, played_ms=played_ms) == heard


def test_nothing_received_is_nothing_heard() -> None:
    assert heard_text(WORDS, received_ms=0, played_ms=10) == ""


@given(st.text(), st.floats(0, 1e6), st.floats(0, 1e6))
def test_heard_text_is_a_prefix_of_what_was_said(
    text: str, received_ms: float, played_ms: float
) -> None:
    heard = heard_text(text, received_ms=received_ms, played_ms=played_ms)
    assert text.strip().startswith(heard)


def test_where_there_are_no_spaces_each_sign_counts() -> None:
    assert heard_text("今天天气很好", received_ms=1200, played_ms=650) == "今天天"


def test_the_length_points_at_the_end_of_a_word() -> None:
    length = heard_length(f"  {WORDS}", received_ms=1000, played_ms=600)
    assert f"  {WORDS}"[:length] == "  one two"


def test_words_that_run_ahead_of_their_audio_are_expected_to_take_their_time() -> None:
    pace = SpeakingPace()
    assert pace.expected_ms("x" * 100, 500) == 100 * DEFAULT_PACE_MS
    assert pace.expected_ms("x" * 100, 9000) == 9000


def test_the_pace_is_learned_from_whole_replies() -> None:
    pace = SpeakingPace()
    for _ in range(20):
        pace.learn("x" * 50, 50 * 90.0)
    assert pace.ms_per_letter == pytest.approx(90, abs=0.1)
    pace.learn("hm", 4000)
    assert pace.ms_per_letter == pytest.approx(90, abs=0.1)
    pace.learn("x" * 20, 60_000)
    assert pace.ms_per_letter < 110


def test_pcm_length() -> None:
    assert pcm_ms(48_000, 24_000) == 1000

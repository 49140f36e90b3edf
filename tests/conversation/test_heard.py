"""Words from milliseconds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conversation.heard import heard_text, pcm_ms

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


def test_pcm_length() -> None:
    assert pcm_ms(48_000, 24_000) == 1000

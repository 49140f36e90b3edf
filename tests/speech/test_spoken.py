"""Text for the voice."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speech.numbers import figures, spell, spell_ordinal
from speech.spoken import clauses, spoken_form


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ("It is 3:45 PM.", "It is three forty five p m."),
        ("at 09:05", "at nine oh five"),
        ("It is 12:00.", "It is twelve o'clock."),
        ("22 °C", "twenty two degrees celsius"),
        ("22 degrees C", "twenty two degrees celsius"),
        ("6 p.m. sharp", "six p m sharp"),
        ("18° outside", "eighteen degrees outside"),
        ("2026-11-21", "November twenty first, twenty twenty six"),
        ("November 3, 1905", "November third, nineteen oh five"),
        ("call 415-555-0192", "call four one five, five five five, zero one nine two"),
        ("$2.50", "two dollars and fifty cents"),
        ("95% of 1,234", "ninety five percent of one thousand two hundred thirty four"),
        ("-5 plus 3 is -2.", "minus five plus three is minus two."),
        ("code 007", "code zero zero seven"),
        ("B739K", "B seven three nine K"),
        ("Dr. Rivera", "Doctor Rivera"),
    ],
)
def test_figures_are_written_as_they_are_said(text: str, spoken: str) -> None:
    assert spoken_form(text) == spoken


@given(st.text(max_size=120))
def test_nothing_that_the_dictionaries_drop_is_left(text: str) -> None:
    assert not re.search(r"[0-9]", spoken_form(text))


@given(st.integers(0, 10**12))
def test_number_words_can_be_read_back(number: int) -> None:
    assert figures(f"count {spell(number)} sheep") == f"count {number} sheep"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("two hundred and fifty dollars", "250 dollars"),
        ("four one five five five", "41555"),
        ("three point one four", "3.14"),
        ("one and a half hours", "1.5 hours"),
        ("two thousand and five", "2005"),
        ("add two and three", "add 2 and 3"),
        ("a dozen eggs", "12 eggs"),
        ("set a timer", "set a timer"),
        ("twenty-one", "21"),
    ],
)
def test_number_words_become_figures(words: str, expected: str) -> None:
    assert figures(words) == expected


def test_ordinals() -> None:
    assert [spell_ordinal(n) for n in (1, 2, 3, 12, 20, 21, 100)] == [
        "first", "second", "third", "twelfth", "twentieth", "twenty first", "one hundredth",
    ]  # fmt: skip


def test_the_first_clause_is_short_and_sentences_stay_whole() -> None:
    text = "Yes, I can hear you, loud and clear. What can I do for you, my friend?"
    assert clauses(text) == [
        "Yes, I can hear you,",
        "loud and clear.",
        "What can I do for you, my friend?",
    ]


@given(
    st.lists(st.sampled_from(["word", "Word,", "end.", "what?", "3.5", "Dr. Who"]), max_size=150)
)
def test_clauses_lose_no_word_and_stay_short(words: list[str]) -> None:
    text = " ".join(words)
    pieces = clauses(text)
    assert " ".join(pieces) == text
    assert all(0 < len(piece) <= 220 for piece in pieces)

"""English number words, both ways."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speech.spoken_text.numbers import figures, spell, spell_ordinal


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

"""Completeness of sentences by their words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speech.turns.words import Completeness, completeness

COMPLETE = (
    "Set a timer for five minutes.",
    "What is the weather in Tokyo?",
    "turn on the kitchen lights",
    "Please turn the heating on.",
    "Could you repeat that?",
    "Yes, please.",
    "When does the train leave?",
    "If it rains, cancel the picnic.",
    "How much is 27 times 14?",
    "What is my account number 4?",
    "Stop",
)
DOUBTFUL = (
    "Where are you from?",
    "I don't want to.",
    "What are you thinking about?",
    "When I try to log in.",
    "If it rains tomorrow",
    "My phone number is 415.",
    "my order number is b seven three",
    "Could you please?",
    "Well, I think that.",
)
INCOMPLETE = (
    "Remind me to call my.",
    "the package arrived yesterday but",
    "I would like to...",
    "Send a message to.",
    "How do I get from?",
    "Um.",
    "I\N{RIGHT SINGLE QUOTATION MARK}d",
    "First, the red one,",
)


@pytest.mark.parametrize("words", COMPLETE)
def test_sentences_that_can_end(words: str) -> None:
    assert completeness(words) is Completeness.COMPLETE


@pytest.mark.parametrize("words", DOUBTFUL)
def test_sentences_that_may_go_on(words: str) -> None:
    assert completeness(words) is Completeness.DOUBTFUL


@pytest.mark.parametrize("words", INCOMPLETE)
def test_sentences_that_cannot_end(words: str) -> None:
    assert completeness(words) is Completeness.INCOMPLETE


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("de", "Ich hätte gern einen"),
        ("fr-CA", "Je voudrais une table pour"),
        ("es", "¿Cuánto cuesta el"),
        ("it", "Vorrei prenotare un tavolo per"),
        ("pt", "Eu queria falar com"),
        ("nl", "Het pakket is gisteren gekomen maar"),
    ],
)
def test_other_languages_have_their_own_words(language: str, words: str) -> None:
    assert completeness(words, language) is Completeness.INCOMPLETE
    assert completeness("Berlin", language) is Completeness.COMPLETE


def test_of_an_unknown_language_punctuation_counts_and_words_do_not() -> None:
    assert completeness("I would like the", "ja") is Completeness.COMPLETE
    assert completeness("etto...", "ja") is Completeness.INCOMPLETE
    assert completeness("I would like the", None) is Completeness.INCOMPLETE


@given(st.text(max_size=200), st.sampled_from(["en", "de", "xx", None]))
def test_any_text_has_an_answer(text: str, language: str | None) -> None:
    assert completeness(text, language) in Completeness

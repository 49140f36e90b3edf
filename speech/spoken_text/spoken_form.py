"""Text for the voice: figures and symbols written as they are said. Pure."""

from __future__ import annotations

import re
import unicodedata

from speech.spoken_text import (
    addresses,
    codes,
    dates_and_times,
    figures,
    fractions,
    names,
    quantities,
    symbols,
)
from speech.spoken_text.rules import apply

_PAUSES_MS = [
    (re.compile(r"[.!?:\u2026\u0964\u061f\u3002\uff01\uff1f][\"'\u201d\u2019)\u300d]*$"), 220),
    (re.compile(r"[,;\u060c\u2013\u2014\u3001\uff0c\uff1b-][\"'\u201d\u2019)\u300d]*$"), 90),
]
_MID_SENTENCE_PAUSE_MS = 20
_FIGURE = re.compile("[\\d\u00bc-\u00be\u2150-\u215e\u00b2\u00b3\u00b9\u2070-\u2089]")
_GREEK_WORD = re.compile(r"[\u0370-\u03ff]{2}")
_LATIN_LETTERS = re.compile("[A-Za-z]")
_OTHER_LETTERS = re.compile("[\u0400-\u1dff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
_ACCENTED = re.compile(r"[\u00c0-\u024f\u1e00-\u1eff]")


def pause_ms(clause: str) -> int:
    """The silence that follows a clause: almost none where a sentence goes on without a comma."""
    text = clause.rstrip()
    return next((pause for end, pause in _PAUSES_MS if end.search(text)), _MID_SENTENCE_PAUSE_MS)


def spoken_form(text: str, language: str = "en") -> str:
    """`text` with everything in words that the pronunciation dictionaries would drop or misread.

    language: a BCP 47 tag. In other languages than English figures stay: how they are said
        depends on the sentence around them, and the voices of these languages know it.
    """
    if language.partition("-")[0].lower() != "en" or _is_other_script(text):
        return re.sub(r"\s+", " ", apply(symbols.UNSPOKEN, text)).strip()
    text = apply(addresses.RULES, text)
    text = apply(names.RULES, apply(symbols.BEFORE_FIGURES, text))
    if _FIGURE.search(text):
        text = apply(codes.RULES, text)
        text = apply(dates_and_times.RULES, text)
        text = apply(fractions.RULES, text)
        text = apply(quantities.RULES, text)
        text = apply(figures.RULES, text)
    text = apply(symbols.AFTER_FIGURES, text)
    return re.sub(r"\s+", " ", _without_accents(text)).strip()


def _is_other_script(text: str) -> bool:
    """True for text of mostly other letters than Latin, in whatever language the session is."""
    others = len(_OTHER_LETTERS.findall(text))
    return others > 3 and others > len(_LATIN_LETTERS.findall(text))


def _without_accents(text: str) -> str:
    """The English dictionaries know `naive`, not its French spelling."""
    if not _ACCENTED.search(text):
        return text
    return _ACCENTED.sub(lambda m: unicodedata.normalize("NFKD", m[0])[0], text)

"""Backchannels: sounds and words that show listening and ask for nothing.

To extend: add phrases to a language in `backchannel_phrases.py`, or give an agent its own
(`interrupt.backchannels`).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import Final

from conversation.turn_taking.backchannel_phrases import ANYWHERE, BY_LANGUAGE, ORDERS

Phrase = tuple[str, ...]

_ORDERS: Final = frozenset(ORDERS.split())
_NOISE_NOTE: Final = re.compile(r"\[[^\]]*\]|\([^)]*\)|\*[^*]*\*|♪[^♪]*♪?")
# Chinese, Japanese and Korean are written without spaces: each character counts as a word.
_CJK: Final = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
_WORD: Final = re.compile(rf"[{_CJK}]|[^\W_{_CJK}]+(?:['\u2019][^\W_{_CJK}]+)*")
_DRAWN_OUT: Final = re.compile(r"([mh\u0430\u044d])\1+|(.)\2{2,}")


def words_of(text: str) -> list[str]:
    """Return the words of a transcript, folded for comparison; notes like `[cough]` are no words."""
    folded = unicodedata.normalize("NFKC", _NOISE_NOTE.sub(" ", text)).casefold()
    words = (word.replace("\u2019", "'") for word in _WORD.findall(folded))
    return [_DRAWN_OUT.sub(lambda run: run[1] or run[2], word) for word in words]


def is_order(word: str) -> bool:
    """Return true if the word alone asks for silence."""
    return word in _ORDERS


class Backchannels:
    """Backchannels of one language, with those common to all languages and an agent's own."""

    def __init__(self, language: str, extra: Iterable[str] = ()) -> None:
        listed = f"{ANYWHERE}, {BY_LANGUAGE.get(language.casefold().split('-')[0], '')}"
        phrases = (tuple(words_of(phrase)) for phrase in [*listed.split(","), *extra])
        self._phrases: frozenset[Phrase] = frozenset(phrase for phrase in phrases if phrase)
        self._longest = max(len(phrase) for phrase in self._phrases)

    def meant(self, words: list[str]) -> list[str]:
        """Return `words` without the backchannels."""
        meant: list[str] = []
        at = 0
        while at < len(words):
            length = self._length_at(words, at)
            if not length:
                meant.append(words[at])
            at += length or 1
        return meant

    def _length_at(self, words: list[str], at: int) -> int:
        for length in range(min(self._longest, len(words) - at), 0, -1):
            if tuple(words[at : at + length]) in self._phrases:
                return length
        return 0

"""Words as they compare, and how far what was heard is from what was expected. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Final

from speech.spoken_text.numbers import figures

_SAME: Final = {"dr": "doctor", "mr": "mister", "ok": "okay", "percent": "%"}
_WORD: Final = re.compile(r"[^\W_]+(?:'[^\W_]+)*|%")
_DIGITS: Final = re.compile(r"\d+")


def plain_words(text: str, language: str = "en") -> list[str]:
    """Return words without case, punctuation and accents of spelling; English numbers as figures.

    Rows of digits are one number however they are grouped: "1 0 0 1", "1,001" and "1001" are alike.
    """
    text = unicodedata.normalize("NFKC", text).casefold().replace("\u2019", "'")
    text = re.sub(r"(?<=\d)[,\s](?=\d{3}\b)", "", text)
    if language == "en":
        text = figures(re.sub(r"(?<=[a-z])-(?=[a-z])", " ", text))
    words = [_SAME.get(word, word) for word in _WORD.findall(text)]
    joined: list[str] = []
    for word in words:
        if joined and _DIGITS.fullmatch(word) and _DIGITS.fullmatch(joined[-1]):
            joined[-1] += word
        else:
            joined.append(word)
    return joined


def word_errors(expected: Sequence[str], heard: Sequence[str], *, is_whole: bool) -> int:
    """Return the least number of words to change, add and leave out (Levenshtein).

    Two words and their compound are alike: "good bye" and "goodbye".

    is_whole: False: the nearest place within what was heard counts, and what is around it does not
    """
    rows = [list(range(len(heard) + 1)) if is_whole else [0] * (len(heard) + 1)]
    for number, word in enumerate(expected, 1):
        row = [number]
        for column, other in enumerate(heard, 1):
            changed = rows[-1][column - 1] + (word != other)
            costs = [changed, rows[-1][column] + 1, row[-1] + 1]
            if number > 1 and expected[number - 2] + word == other:
                costs.append(rows[-2][column - 1])
            if column > 1 and heard[column - 2] + other == word:
                costs.append(rows[-1][column - 2])
            row.append(min(costs))
        rows.append(row)
    return rows[-1][-1] if is_whole else min(rows[-1])


def error_share(expected: str, heard: str, *, is_whole: bool, language: str = "en") -> float:
    """Return the wrong words as a share of those expected."""
    wanted = plain_words(expected, language)
    found = plain_words(heard, language)
    if not wanted:
        return 0.0 if not found or not is_whole else 1.0
    return word_errors(wanted, found, is_whole=is_whole) / len(wanted)

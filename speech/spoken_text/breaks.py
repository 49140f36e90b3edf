"""Places at which a text that is still being written may be cut for the voice. Pure.

Every cut is decided by the text before it and a fixed look-ahead behind it, so it is the same
however the text arrives in pieces.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from speech.spoken_text.abbreviations import is_sentence_end

LONG_CHARACTERS = 110
LONGEST_CHARACTERS = 220
_FIRST_CHARACTERS = 12
_FIRST_WORDS = 5
_MOST_WHITE_SPACE = 64
_CLOSERS = "\"'\u201d\u2019\u00bb)\\]*_~`"

_CONJUNCTIONS = "but|because|so|which|although|while|unless|since|pero|porque|aber|weil|mais|car"
_CLAUSE_BEGINNINGS = "I|you|he|she|it|we|they|there|then|the|that|this|if|also"
_BREAK = re.compile(
    rf"(?P<line>\n)"
    rf"|(?P<stop>[.!?:;\u2026\u0964\u0965\u061f\u06d4\u061b]{{1,8}}[{_CLOSERS}]{{0,8}})(?=\s)"
    rf"|(?P<wide>[\u3002\uff01\uff1f\uff1b]{{1,8}}"
    rf"[\u300d\u300f\u3011\uff09\u201d\u2019{_CLOSERS}]{{0,8}})"
    rf"|(?P<comma>[,\u060c][{_CLOSERS}]{{0,8}}(?=\s)|[\uff0c\u3001\uff1a]"
    rf"|\s[\u2013\u2014-]{{1,3}}(?=\s)|\u2014)"
    rf"|(?P<word>(?=\s(?:(?:{_CONJUNCTIONS})|(?:and|y|und|et)\s(?:{_CLAUSE_BEGINNINGS}))\s))"
)
_WIDE_LETTERS = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
_MONTH = re.compile(r"\b(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]*\.?$")
_UNFINISHED = re.compile(r"(?:\d|[$€£¥#+]|\b(?:Dr|Mr|Mrs|Ms|Prof|St|No|vs)\.)$")
_ENTITY = re.compile(r"&#?\w{1,10};$")
_FLAG_LETTERS = re.compile("[\U0001f1e6-\U0001f1ff]+$")
_OPEN_TAG = re.compile(r"<[/a-zA-Z][^<>]{0,120}$")


@dataclass(frozen=True, slots=True)
class Line:
    """Facts about the text from its place in the document.

    is_first: the voice waits for it, so a short beginning is worth more than a whole sentence
    is_whole: it is spoken as one, like a heading or a row of a table
    """

    is_first: bool = False
    is_whole: bool = False


def find_cut(text: str, line: Line, *, is_final: bool) -> int | None:
    """The end of the first clause of `text`; None if more of the text is needed to tell.

    White space at the beginning of `text` belongs to the clause.
    """
    start = len(text) - len(text.lstrip())
    if start == len(text):
        return None
    search = _Search(text, start, line, is_final)
    for match in _BREAK.finditer(text, start):
        if match.end() - start > LONGEST_CHARACTERS:
            break
        if search.consider(match):
            return search.cut
    return search.conclude()


class _Search:
    """One pass over the candidates."""

    def __init__(self, text: str, start: int, line: Line, is_final: bool) -> None:
        self._text, self._start, self._line, self._is_final = text, start, line, is_final
        self._soft: int | None = None
        self._weak: int | None = None
        self.cut: int | None = None

    def consider(self, match: re.Match[str]) -> bool:
        """Look at the next candidate; True if the search is over, with or without a cut."""
        end = match.end()
        if end - self._start > LONG_CHARACTERS and self._soft is not None:
            return self._end(self._soft)
        if match["line"] is not None:
            before = self._text[: match.start()].rstrip()
            return self._end(len(before) if self._after(end) else None)
        if self._line.is_whole or _is_open(self._text[self._start : match.end()]):
            return False
        after = self._after(end)
        if not after:
            return True
        return self._judge(match, after)

    def _judge(self, match: re.Match[str], after: str) -> bool:
        end, length = match.end(), match.end() - self._start
        if match["stop"] is not None:
            return self._is_stop(match, after) and self._end(end)
        if match["wide"] is not None:
            return self._end(end)
        if match["comma"] is not None:
            return self._judge_comma(end, after)
        if self._line.is_first and self._words(end) >= _FIRST_WORDS:
            return self._end(end)
        if length <= LONG_CHARACTERS:
            self._weak = end
        return False

    def _judge_comma(self, end: int, after: str) -> bool:
        length = end - self._start
        before = self._text[self._start : end]
        if after[0].isdecimal() and re.search(r"\d[,\u2014\s\u2013-]+$", before):
            return False
        if length < _FIRST_CHARACTERS and not _WIDE_LETTERS.search(before):
            return False
        if self._line.is_first or length > LONG_CHARACTERS:
            return self._end(end)
        self._soft = end
        return False

    def _is_stop(self, match: re.Match[str], after: str) -> bool:
        before = self._text[self._start : match.end()]
        mark = match["stop"].rstrip(_CLOSERS)
        if mark in {":", ";"}:
            return len(before) >= _FIRST_CHARACTERS and not _ENTITY.search(before)
        if mark == ".":
            return is_sentence_end(before.rstrip(_CLOSERS), after)
        return not after[0].islower() and after[0] not in ".,;:!?)"

    def conclude(self) -> int | None:
        """Decide when no candidate was good enough."""
        length = len(self._text) - self._start
        if self._soft is not None and length > LONG_CHARACTERS + 1:
            return self._soft
        rest = len(self._text.rstrip()) - self._start if self._is_final else length - 1
        if rest > LONGEST_CHARACTERS:
            return self._weak or self._last_word_end() or self._break_word()
        return len(self._text.rstrip()) if self._is_final else None

    def _last_word_end(self) -> int | None:
        """Better within a link than within a word."""
        text, start = self._text, self._start
        return last_word_end(text, start) or last_word_end(text, start, keeps_whole=False)

    def _break_word(self) -> int:
        """An endless word is cut where no sign that is drawn as one falls apart."""
        end = self._start + LONG_CHARACTERS
        for candidate in range(end, end - 16, -1):
            if not _joins(self._text, candidate):
                return candidate
        return end

    def _after(self, end: int) -> str:
        """The text behind a candidate and its white space; empty if it is not known yet."""
        after = self._text[end : end + _MOST_WHITE_SPACE].lstrip()
        if after or not (self._is_final or len(self._text) - end > _MOST_WHITE_SPACE):
            return after
        return "\n"

    def _end(self, cut: int | None) -> bool:
        self.cut = cut
        return True

    def _words(self, end: int) -> int:
        return count_words(self._text[self._start : end])


def count_words(text: str) -> int:
    """Words, where two letters of a script without spaces count as one."""
    return len(text.split()) + len(_WIDE_LETTERS.findall(text)) // 2


def _is_open(text: str) -> bool:
    """True if `text` ends inside inline code, a link or a tag."""
    if text.count("`") % 2 or text.count("[") > text.count("]"):
        return True
    return ("](" in text and ")" not in text[text.rindex("](") :]) or (
        "<" in text and _OPEN_TAG.search(text) is not None
    )


def last_word_end(
    text: str, start: int, limit: int = LONG_CHARACTERS, *, keeps_whole: bool = True
) -> int | None:
    """The last white space within `limit` at which a person could draw breath; None if none.

    keeps_whole: not within links and inline code
    """
    end = min(len(text), start + limit)
    while (end := max(text.rfind(" ", start, end), text.rfind("\t", start, end))) > start:
        before, after = text[start:end].rstrip(), text[end:].lstrip()
        if not after or not before or (keeps_whole and _is_open(before)):
            continue
        if not _belongs_together(before, after):
            return start + len(before)
    return None


def _belongs_together(before: str, after: str) -> bool:
    if _UNFINISHED.search(before):
        return True
    return after[0].isdecimal() and _MONTH.search(before) is not None


def _joins(text: str, position: int) -> bool:
    """True if the characters around `position` are parts of one sign, such as an emoji."""
    before, after = text[position - 1], text[position]
    if "\u200d" in (before, after) or unicodedata.combining(after):
        return True
    if after in "\ufe0e\ufe0f\u20e3" or "\U0001f3fb" <= after <= "\U0001f3ff":
        return True
    letters = _FLAG_LETTERS.search(text, 0, position)
    return (
        "\U0001f1e6" <= after <= "\U0001f1ff" and letters is not None and len(letters[0]) % 2 == 1
    )

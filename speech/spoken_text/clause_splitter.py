"""Replies cut into clauses for the voice while they are still being written. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from speech.spoken_text import breaks
from speech.spoken_text.breaks import LONGEST_CHARACTERS, Line
from speech.spoken_text.markdown import emoji_names, speakable
from speech.spoken_text.reasoning import ReasoningFilter

_WINDOW_CHARACTERS = 4 * LONGEST_CHARACTERS
_FENCE = re.compile(r"(`{3,80}|~{3,80})[^`\n]{0,80}(?=\n|\Z)")
_FENCE_BEGINNING = re.compile(r"`{1,2}|~{1,2}|(?:`{3,80}|~{3,80})[^`\n]{0,80}")
_WHOLE_LINE = re.compile(r"\||#{1,6}\s|\$\$|\\\[")

_FORMULA_MARKS = {"$$", "\\[", "\\]"}

_CODE_NOTICES = {
    "en": "I have left out the code.",
    "de": "Den Code habe ich ausgelassen.",
    "es": "He omitido el código.",
    "fr": "J'ai omis le code.",
    "it": "Ho omesso il codice.",
    "nl": "Ik heb de code weggelaten.",
    "pt": "Omiti o código.",
    "ja": "コードは省略しました。",
    "zh": "代码已省略。",
}


@dataclass(frozen=True, slots=True)
class Clause:
    """A piece of a reply.

    shown: its part of the transcript, with the white space before it; all pieces joined without
        anything between are the text of the reply
    spoken: what the voice says of it (still to be put through `spoken_form`); empty for what is
        only shown, such as code
    """

    shown: str
    spoken: str


class ClauseSplitter:
    """Cuts a stream of text into clauses; reasoning blocks are dropped.

    The first clause ends at a comma, a dash or a conjunction, so that the voice can start;
    later ones are sentences, cut at commas where they are long. The cuts do not depend on how
    the stream arrives in pieces, except for those that `early` makes.
    """

    def __init__(self, *, language: str = "en") -> None:
        """language: a BCP 47 tag; of the words that are added to the text and spoken."""
        self._language = language.partition("-")[0].lower()
        self._reasoning = ReasoningFilter()
        self._text = ""
        self._fence = ""
        self._is_formula = False
        self._has_begun = False
        self._has_spoken = False
        self._has_told_of_code = False

    @property
    def has_spoken(self) -> bool:
        """True once a clause had something for the voice; False after `flush`: no answer."""
        return self._has_spoken

    @property
    def is_reasoning(self) -> bool:
        """True inside a reasoning block: text arrives, but no answer."""
        return self._reasoning.is_inside

    def push(self, delta: str) -> list[Clause]:
        """More of the stream; the clauses that are complete now."""
        self._text += self._reasoning.push(delta)
        return self._take(is_final=False)

    def flush(self) -> list[Clause]:
        """The end of the stream; the clauses that were still open."""
        self._text += self._reasoning.flush()
        taken = self._take(is_final=True)
        self._text = ""
        return taken

    def early(self, min_words: int) -> list[Clause]:
        """Cut at the last end of a word, if that gives at least `min_words`; else nothing.

        For a model so slow that the voice would fall silent before the clause is complete.
        """
        start = len(self._text) - len(self._text.lstrip())
        if self._fence or (self._is_line_start(start) and self._opens_whole_line(start)):
            return []
        end = breaks.last_word_end(self._text, start, LONGEST_CHARACTERS)
        if end is None or breaks.count_words(self._text[start:end]) < min_words:
            return []
        return [self._cut(end, begins_line=self._is_line_start(start))]

    def _take(self, *, is_final: bool) -> list[Clause]:
        taken: list[Clause] = []
        while (clause := self._next(is_final=is_final)) is not None:
            taken.append(clause)
        return taken

    def _next(self, *, is_final: bool) -> Clause | None:
        start = len(self._text) - len(self._text.lstrip())
        if start == len(self._text):
            return None
        begins_line = self._is_line_start(start)
        if self._fence:
            return self._next_of_code(start, begins_line=begins_line, is_final=is_final)
        if begins_line and not is_final and _FENCE_BEGINNING.fullmatch(self._text, start):
            return None
        if begins_line and (fence := _FENCE.match(self._text, start)):
            return self._open_code(fence)
        window = self._text[: start + _WINDOW_CHARACTERS]
        line = Line(
            is_first=not self._has_spoken, is_whole=begins_line and self._opens_whole_line(start)
        )
        is_last = is_final and len(window) == len(self._text)
        end = breaks.find_cut(window, line, is_final=is_last)
        return None if end is None else self._cut(end, begins_line=begins_line)

    def _is_line_start(self, start: int) -> bool:
        return not self._has_begun or "\n" in self._text[:start]

    def _opens_whole_line(self, start: int) -> bool:
        return _WHOLE_LINE.match(self._text, start) is not None

    def _cut(self, end: int, *, begins_line: bool) -> Clause:
        raw = self._text[:end].strip()
        rest = self._text[end:]
        if raw in _FORMULA_MARKS:
            self._is_formula = raw in {"$$", "\\["} and not self._is_formula
        elif self._is_formula:
            raw = f"$${raw}$$"
        spoken = speakable(
            raw,
            begins_line=begins_line,
            ends_line=rest.lstrip(" \t").startswith("\n"),
            language=self._language,
        )
        if not spoken and not self._has_spoken and not rest.strip():
            spoken = emoji_names(raw)
        return self._emit(end, spoken)

    def _emit(self, end: int, spoken: str) -> Clause:
        shown, self._text = self._text[:end], self._text[end:]
        clause = Clause(shown if self._has_begun else shown.lstrip(), spoken)
        self._has_begun = True
        self._has_spoken = self._has_spoken or bool(spoken)
        return clause

    def _open_code(self, fence: re.Match[str]) -> Clause:
        self._fence = fence[1]
        notice = "" if self._has_told_of_code else _CODE_NOTICES.get(self._language, "")
        self._has_told_of_code = True
        return self._emit(fence.start() + len(fence[0].rstrip()), notice)

    def _next_of_code(self, start: int, *, begins_line: bool, is_final: bool) -> Clause | None:
        end = self._text.find("\n", start, start + LONGEST_CHARACTERS + 1)
        if end < 0:
            is_long = len(self._text) - start > LONGEST_CHARACTERS
            if not is_long and not is_final:
                return None
            end = min(len(self._text), start + LONGEST_CHARACTERS)
        line = self._text[start:end].rstrip()
        if begins_line and line.startswith(self._fence) and not line.strip(self._fence[0]):
            self._fence = ""
        return self._emit(start + len(line), "")


def clauses(text: str, *, language: str = "en") -> list[Clause]:
    """A whole `text` in clauses."""
    splitter = ClauseSplitter(language=language)
    return [*splitter.push(text), *splitter.flush()]

"""English abbreviations: where a full stop ends no sentence. Pure."""

from __future__ import annotations

import re

_ALWAYS = (
    "Dr|Mr|Mrs|Ms|Prof|St|Mt|Ft|Gen|Col|Sgt|Capt|Lt|Rev|Hon|Sen|Rep|Gov|Pres|vs|approx|resp"
    "|incl|esp|cf|al|viz|Ph|Messrs|Mme|Mlle|Sr|Sra|Srta|Dra|Hr|Fr|bzw|ca|bspw"
)
_BEFORE_FIGURES = (
    "No|Nos|Fig|Figs|Vol|Ch|Sec|Art|Eq|p|pp|Nr"
    "|Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec|Mon|Tues?|Wed|Thur?s?|Fri|Sat|Sun"
)
_ABBREVIATION = re.compile(rf"(?<![\w.])(?:{_ALWAYS}|[A-Z]|(?:\w\.)+\w)\.$")
_ABBREVIATION_BEFORE_FIGURES = re.compile(rf"(?<![\w.])(?:{_BEFORE_FIGURES})\.$")
_LIST_NUMBER = re.compile(r"^\W*(?:\d{1,3}|[a-zA-Z])[.)]$")


def is_sentence_end(before: str, after: str) -> bool:
    """True if the full stop at the end of `before` ends a sentence.

    after: what follows, without the white space between; at least one character.
    """
    if after[0].islower() or after[0] in ".,;:!?)":
        return False
    if _LIST_NUMBER.match(before) or _ABBREVIATION.search(before):
        return False
    return not (after[0].isdecimal() and _ABBREVIATION_BEFORE_FIGURES.search(before))

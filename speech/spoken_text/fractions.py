"""Fractions as they are said in English. Pure."""

from __future__ import annotations

import re
import unicodedata

from speech.spoken_text.numbers import spell, spell_ordinal
from speech.spoken_text.quantities import UNIT, unit_name
from speech.spoken_text.rules import Rule

_DENOMINATORS = {2: ("half", "halves"), 4: ("quarter", "quarters")}
_COMMON_DENOMINATORS = {2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 16, 20, 32, 64, 100}
_WAYS_OF_SPEAKING = {(24, 7), (9, 11), (7, 11)}


def _fraction(match: re.Match[str]) -> str:
    minus = "minus " if match["minus"] else ""
    whole, top, bottom = match["whole"], int(match["top"]), int(match["bottom"])
    if not whole and (top >= bottom or bottom not in _COMMON_DENOMINATORS):
        over = "" if _is_name(top, bottom) else "over "
        return f"{minus}{spell(top)} {over}{spell(bottom)}"
    share = _share(top, bottom)
    if not whole:
        return minus + share
    share = f"a {share.removeprefix('one ')}" if top == 1 else share
    return f"{minus}{spell(int(whole))} and {share}"


def _is_name(top: int, bottom: int) -> bool:
    """True for what is no fraction: a date, or a way of speaking."""
    is_date = top <= 12 and 13 <= bottom <= 31
    return is_date or top == bottom or (top, bottom) in _WAYS_OF_SPEAKING


def _share(top: int, bottom: int) -> str:
    one = spell_ordinal(bottom)
    one, many = _DENOMINATORS.get(bottom, (one, f"{one}s"))
    return f"{spell(top)} {one if top == 1 else many}"


def _measure(match: re.Match[str]) -> str:
    """`2/3 tbsp` as "two thirds of a tablespoon"."""
    if match["whole"]:
        return f"{_fraction(match)} {unit_name(match['unit'], '2')}"
    name = unit_name(match["unit"], "1")
    article = "an" if re.match("hour|[aeio]", name) else "a"
    is_half = (match["top"], match["bottom"]) == ("1", "2")
    return f"half {article} {name}" if is_half else f"{_fraction(match)} of {article} {name}"


def _written_out(match: re.Match[str]) -> str:
    """`2½` as "2 1/2"."""
    parts = unicodedata.normalize("NFKC", match["sign"]).partition("\u2044")
    if not parts[2]:
        return match[0]
    space = " " if match["whole"] else ""
    return f"{match['whole'] or ''}{space}{parts[0]}/{parts[2]}"


_FRACTION = (
    r"(?<![\w.,/])(?P<minus>[-\u2212])?(?:(?P<whole>\d{1,4})[ -])?"
    r"(?P<top>\d{1,3})[/\u2044](?P<bottom>\d{1,3})"
)

RULES: list[Rule] = [
    (re.compile("(?:(?P<whole>\\d+)\\s?)?(?P<sign>[\u00bc-\u00be\u2150-\u215e])"), _written_out),
    (re.compile(rf"{_FRACTION}\s?(?P<unit>{UNIT})(?![\w/'\u2019])"), _measure),
    (re.compile(rf"{_FRACTION}(?![\w/]|\.\d)"), _fraction),
]

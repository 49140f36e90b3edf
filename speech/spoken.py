"""Text for the voice: replies cut into clauses, figures written as they are said. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable

from speech.numbers import (
    spell,
    spell_decimal,
    spell_digits,
    spell_ordinal,
    spell_year,
)

_MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
_MONTH = "|".join(_MONTHS)

_SENTENCE_END = re.compile(r"(?<=[.!?;:])(?<!\bDr\.)(?<!\bMr\.)(?<!\bMs\.)(?<!\bMrs\.)\s+|\n+")
_COMMA = re.compile(r"(?<=,)\s+")
_FIRST_CLAUSE_CHARACTERS = 12
_LONG_CLAUSE_CHARACTERS = 110


def clauses(text: str) -> list[str]:
    """`text` in pieces that are spoken one after the other; joined by spaces they are `text`
    (endless words are cut).

    Sentences stay whole unless they are long, except the first, of which a short beginning is
    split off so that the voice can start sooner.
    """
    pieces: list[str] = []
    for sentence in _SENTENCE_END.split(text.strip()):
        if not sentence.strip():
            continue
        is_first = not pieces
        pieces += _split_at_commas(sentence.strip(), is_first=is_first)
    return pieces


def _split_at_commas(sentence: str, *, is_first: bool) -> list[str]:
    if len(sentence) <= _LONG_CLAUSE_CHARACTERS and not (is_first and "," in sentence):
        return _split_long(sentence)
    limit = _FIRST_CLAUSE_CHARACTERS if is_first else _LONG_CLAUSE_CHARACTERS
    pieces = [""]
    for part in _COMMA.split(sentence):
        if len(pieces[-1]) >= limit or len(pieces[-1]) + len(part) > _LONG_CLAUSE_CHARACTERS:
            pieces.append(part)
            limit = _LONG_CLAUSE_CHARACTERS
        else:
            pieces[-1] = f"{pieces[-1]} {part}".strip()
    return [short for piece in pieces if piece for short in _split_long(piece)]


def _split_long(text: str) -> list[str]:
    """Cut at word ends what has no comma for very long; synthesis time grows with length."""
    if len(text) <= 2 * _LONG_CLAUSE_CHARACTERS:
        return [text]
    pieces = [""]
    for word in text.split():
        for piece in (word[i : i + _LONG_CLAUSE_CHARACTERS] for i in range(0, len(word), 110)):
            if len(pieces[-1]) + len(piece) >= _LONG_CLAUSE_CHARACTERS:
                pieces.append(piece)
            else:
                pieces[-1] = f"{pieces[-1]} {piece}".strip()
    return [piece for piece in pieces if piece]


def pause_ms(clause: str) -> int:
    """The silence that follows a clause."""
    return 220 if clause.endswith((".", "!", "?", ":")) else 90


def spoken_form(text: str) -> str:
    """`text` with everything in words that the pronunciation dictionaries would drop or misread."""
    for pattern, replace in _RULES:
        text = pattern.sub(replace, text)
    return re.sub(r"\s+", " ", text).strip()


def _time(match: re.Match[str]) -> str:
    hour, minute, half = int(match["hour"]), int(match["minute"]), match["half"]
    words = spell(hour)
    if minute == 0:
        words += "" if half else (" o'clock" if hour <= 12 else " hundred hours")
    else:
        words += f" {spell(minute)}" if minute >= 10 else f" oh {spell(minute)}"
    return words + (f" {half[0].lower()} m" if half else "")


def _hour_with_half(match: re.Match[str]) -> str:
    return f"{spell(int(match['hour']))} {match['half'][0].lower()} m"


def _iso_date(match: re.Match[str]) -> str:
    month, day = int(match["month"]), int(match["day"])
    if not 1 <= month <= 12 or not 1 <= day <= 31:
        return spell_digits(match[0])
    return f"{_MONTHS[month - 1]} {spell_ordinal(day)}, {spell_year(int(match['year']))}"


def _month_date(match: re.Match[str]) -> str:
    year = f", {spell_year(int(match['year']))}" if match["year"] else ""
    return f"{match['month']} {spell_ordinal(int(match['day']))}{year}"


def _temperature(match: re.Match[str]) -> str:
    scale = {"C": " celsius", "F": " fahrenheit", None: ""}[match["scale"]]
    return f"{spell_decimal(match['number'])} degrees{scale}"


def _money(match: re.Match[str]) -> str:
    name = {"$": "dollar", "€": "euro", "£": "pound"}[match["sign"]]
    whole, _, cents = match["number"].replace(",", "").partition(".")
    words = f"{spell(int(whole))} {name}{'' if whole == '1' else 's'}"
    return f"{words} and {spell(int(cents[:2].ljust(2, '0')))} cents" if cents else words


def _digits(match: re.Match[str]) -> str:
    """Groups of a phone number are said digit by digit, with a breath between them."""
    groups = re.findall(r"\d+", match[0])
    return ", ".join(spell_digits(group) for group in groups)


def _number(match: re.Match[str]) -> str:
    text = match[0]
    is_code = len(text) > 1 and text.startswith("0") and "." not in text
    return spell_digits(text) if is_code else spell_decimal(text)


_NUMBER = r"-?\d[\d,]*(?:\.\d+)?"

_RULES: list[tuple[re.Pattern[str], Callable[[re.Match[str]], str] | str]] = [
    (re.compile(r"[*_`#|<>{}\[\]]+"), " "),
    (re.compile("\u2212"), "-"),
    (re.compile(r"\b(?P<year>[12]\d{3})-(?P<month>\d{2})-(?P<day>\d{2})(?:T(?=\d))?"), _iso_date),
    (
        re.compile(
            r"\b(?P<hour>[01]?\d|2[0-3]):(?P<minute>[0-5]\d)(?::[0-5]\d)?"
            r"(?:\s*(?P<half>[ap]\.m\.|[ap]m\b))?",
            re.IGNORECASE,
        ),
        _time,
    ),
    (
        re.compile(r"\b(?P<hour>1[0-2]|[1-9])\s*(?P<half>[ap])(?:\.m\.|m\b)", re.IGNORECASE),
        _hour_with_half,
    ),
    (
        re.compile(
            rf"\b(?P<month>{_MONTH})\s+(?P<day>[0-3]?\d)(?:st|nd|rd|th)?\b"
            r"(?:,?\s+(?P<year>[12]\d{3})\b)?"
        ),
        _month_date,
    ),
    (
        re.compile(rf"(?P<number>{_NUMBER})\s*(?:°|degrees\b)(?:\s*(?P<scale>[CF])\b)?"),
        _temperature,
    ),
    (re.compile(r"(?P<sign>[$€£])\s?(?P<number>\d[\d,]*(?:\.\d{1,2})?)"), _money),
    (re.compile(rf"(?P<number>{_NUMBER})\s?%"), lambda m: f"{spell_decimal(m['number'])} percent"),
    (re.compile(r"\+?\(?\b\d{1,4}\)?(?:[-. ]\d{2,4}){2,4}\b"), _digits),
    (re.compile(r"\+?\b\d{7,15}\b(?![.,]\d)"), _digits),
    (
        re.compile(r"\b(?P<number>\d{1,4})(?:st|nd|rd|th)\b"),
        lambda m: spell_ordinal(int(m["number"])),
    ),
    (re.compile(r"\bkm/h\b"), "kilometers per hour"),
    (re.compile(r"\bDr\."), "Doctor"),
    (re.compile(r"\bMrs?\."), "Mister"),
    (re.compile(r"&"), " and "),
    (re.compile(r"(?<=\d)\s*\u00d7\s*(?=\d)"), " times "),
    (re.compile(r"(?<=\d)\s*÷\s*(?=\d)"), " divided by "),
    (re.compile(r"(?<=\d)\s*\+\s*(?=\d)"), " plus "),
    (re.compile(r"\s*=\s*"), " equals "),
    (re.compile(r"(?<=\d),(?=\d{3})"), ""),
    (re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?![\w])"), _number),
    (
        re.compile(r"\d+"),
        lambda m: f" {spell_digits(m[0]) if len(m[0]) > 2 else spell(int(m[0]))} ",
    ),
]

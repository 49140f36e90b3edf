"""Ranges, powers and plain figures as they are said. Pure."""

from __future__ import annotations

import re

from speech.spoken_text.codes import spoken_code
from speech.spoken_text.numbers import spell, spell_decimal, spell_digits, spell_ordinal
from speech.spoken_text.quantities import spell_signed
from speech.spoken_text.rules import DASH, NUMBER, Rule


def _range(match: re.Match[str]) -> str:
    return f"{spell_decimal(match['first'])} to {spell_decimal(match['last'])}"


def _ratio(match: re.Match[str]) -> str:
    return " to ".join(_number_words(part) for part in match[0].split(":"))


def _ordinal(match: re.Match[str]) -> str:
    return spell_ordinal(int(match["number"].replace(",", "")))


def _power(match: re.Match[str]) -> str:
    exponent = match["exponent"].replace("\u2212", "-")
    known = {"2": " squared", "3": " cubed"}.get(exponent)
    return known or f" to the power of {spell_signed(exponent)}"


_SUPERSCRIPTS = str.maketrans(
    "\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079\u207b", "0123456789-"
)
_SUBSCRIPTS = str.maketrans(
    "\u2080\u2081\u2082\u2083\u2084\u2085\u2086\u2087\u2088\u2089", "0123456789"
)


def _superscript(match: re.Match[str]) -> str:
    exponent = match[0].translate(_SUPERSCRIPTS)
    return {"2": " squared", "3": " cubed"}.get(
        exponent
    ) or f" to the power of {spell_signed(exponent)}"


def _number_words(text: str) -> str:
    is_code = len(text) > 1 and text.startswith("0") and "." not in text
    return spell_digits(text) if is_code else spell_signed(text)


def _number(match: re.Match[str]) -> str:
    return _number_words(match[0])


def _times_ten(match: re.Match[str]) -> str:
    exponent = spell_signed(match["exponent"])
    return f"{spell_signed(match['number'])} times ten to the power of {exponent}"


def _by(match: re.Match[str]) -> str:
    parts = [part for part in (match["a"], match["b"], match["c"]) if part]
    joint = " times " if "\u00d7" in match[0] and " " in match[0] else " by "
    return joint.join(spell_decimal(part) for part in parts)


RULES: list[Rule] = [
    (re.compile(rf"(?P<number>[-+]?{NUMBER})[eE](?P<exponent>[-+]?\d{{1,3}})\b"), _times_ten),
    (re.compile(r"\b(?P<number>\d{1,3}(?:,\d{3})+|\d{1,6})(?:st|nd|rd|th)\b"), _ordinal),
    (re.compile("(?<=[\\w)])[\u2070\u00b9\u00b2\u00b3\u2074-\u2079\u207b]+"), _superscript),
    (re.compile("[\u2080-\u2089]+"), lambda m: m[0].translate(_SUBSCRIPTS)),
    (re.compile(r"(?<=[\w)])\s?(?:\^|\*\*)\s?\(?(?P<exponent>[-\u2212]?\d+(?:\.\d+)?)\)?"), _power),
    (re.compile(r"(?<=[\w)])\^(?=[a-zA-Z])"), " to the power of "),
    (
        re.compile(
            r"\b(?P<a>\d+(?:\.\d+)?)\s?[x\u00d7]\s?(?P<b>\d+(?:\.\d+)?)"
            r"(?:\s?[x\u00d7]\s?(?P<c>\d+))?\b"
        ),
        _by,
    ),
    (
        re.compile(rf"(?<![\w.,])(?P<number>{NUMBER})[x\u00d7](?!\w)"),
        lambda m: f"{spell_decimal(m['number'])} times",
    ),
    (re.compile(r"\b\d{1,3}(?::\d{1,3})+\b"), _ratio),
    (
        re.compile(rf"(?<![\w.,-])(?P<first>{NUMBER}){DASH}(?P<last>{NUMBER})(?![\w-]|[.,]\d)"),
        _range,
    ),
    (re.compile(r"(?<=\b[A-Za-z])-(?=\d)"), ""),
    (re.compile(r"(?<=[a-zA-Z]{2})-(?=\d)"), " "),
    (re.compile(r"\b(?=\w*\d)(?=\w*[^\W\d_])[^\W_]+\b"), lambda m: spoken_code(m[0])),
    (re.compile(r"(?<=\d),(?=\d{3})"), ""),
    (re.compile(rf"(?<![\w.])[-\u2212]?(?:{NUMBER}|\.\d+)(?![\w])"), _number),
    (
        re.compile(r"\d+"),
        lambda m: f" {spell_digits(m[0]) if len(m[0]) > 2 else spell(int(m[0]))} ",
    ),
]

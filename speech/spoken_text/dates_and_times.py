"""English dates and times as they are said. Pure."""

from __future__ import annotations

import re

from speech.spoken_text.numbers import spell, spell_digits, spell_ordinal, spell_year
from speech.spoken_text.rules import DASH, Rule

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
_DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
_MONTH = "|".join(_MONTHS)
_SHORT_MONTHS = {month[:3]: month for month in _MONTHS if month != "May"} | {"Sept": "September"}
_SHORT_DAYS = {day[:3]: day for day in _DAYS} | {
    "Tues": "Tuesday", "Thur": "Thursday", "Thurs": "Thursday", "Weds": "Wednesday",
}  # fmt: skip
_HALF = r"(?P<half>[ap]\.m\.|[ap]m\b)"
_DAY = r"(?:3[01]|[12]\d|0?[1-9])"
_YEAR = r"[12]\d{3}"
_YEAR_CONTEXT = (
    r"\b(?:[Ii]n|[Ss]ince|[Bb]y|[Uu]ntil|[Tt]ill|[Ff]rom|[Bb]efore|[Aa]fter|[Dd]uring"
    r"|[Aa]round|circa|ca\.|[Oo]f|[Yy]ear|[Ee]arly|[Ll]ate|mid|spring|summer|fall|autumn|winter|and|to)"
)  # fmt: skip
_NO_UNIT = (
    r"(?![\w%\u00b0]|[,.]\d|[-\u2013]\w|\s(?:k?m|cm|mm|miles?|met(?:er|re)s?|feet|ft|kg|g|lbs?|grams?"
    r"|dollars?|euros?|pounds?|people|times|points?|years?|days?|hours?|minutes?|seconds?|percent"
    r"|degrees?|pages?|words?|users?|items?"
    r"|calories|kcal|liters?|litres?|ml|px|[kKMGT]?Hz|[kMGT]?B|k?W)\b)"
)


def _date(month: int, day: int, year: str | None) -> str | None:
    if not 1 <= month <= 12 or not 1 <= day <= 31:
        return None
    words = f"{_MONTHS[month - 1]} {spell_ordinal(day)}"
    return f"{words}, {spell_year(int(year))}" if year else words


def _iso_date(match: re.Match[str]) -> str:
    words = _date(int(match["month"]), int(match["day"]), match["year"])
    return f"{words}{' at ' if match['joined'] else ''}" if words else spell_digits(match[0])


def _slashed_date(match: re.Match[str]) -> str:
    """Month first, as in the United States, unless that is no date."""
    parts = re.findall(r"\d+", match[0])
    first, second, year = int(parts[0]), int(parts[1]), "".join(parts[2:])
    year = f"20{year}" if year and len(year) == 2 else year
    words = _date(first, second, year) or _date(second, first, year)
    return words or ", ".join(spell(int(part)) for part in parts)


def _dotted_date(match: re.Match[str]) -> str:
    words = _date(int(match["month"]), int(match["day"]), match["year"])
    return words or spell_digits(match[0])


def _month_date(match: re.Match[str]) -> str:
    last = f" to {spell_ordinal(int(match['last']))}" if match["last"] else ""
    year = f", {spell_year(int(match['year']))}" if match["year"] else ""
    return f"{match['month']} {spell_ordinal(int(match['day']))}{last}{year}"


def _day_month(match: re.Match[str]) -> str:
    year = f", {spell_year(int(match['year']))}" if match["year"] else ""
    article = match["article"] or "the "
    return f"{article}{spell_ordinal(int(match['day']))} of {match['month']}{year}"


def _decade(match: re.Match[str]) -> str:
    head, _, last = spell_year(int(match["year"])).rpartition(" ")
    plural = f"{last[:-1]}ies" if last.endswith("y") else f"{last}s"
    return f"{head} {plural}".strip()


def clock(hour: int, minute: int, half: str | None = None) -> str:
    """`15, 5` as "fifteen oh five"; half: "a" or "p" when the hour is of a half day."""
    words = spell(hour)
    if minute:
        words += f" {spell(minute)}" if minute >= 10 else f" oh {spell(minute)}"
    elif not half:
        words += " o'clock" if 1 <= hour <= 12 else " hundred hours"
    return words + (f" {half.lower()}.m." if half else "")


def _time(match: re.Match[str]) -> str:
    half = match["half"][0] if match["half"] else None
    words = clock(
        int(match["hour"]), int(match["minute"]), half if not int(match["second"] or "0") else None
    )
    if int(match["second"] or "0"):
        words = words.removesuffix(" o'clock").removesuffix(" hundred hours")
        words += f" and {spell(int(match['second']))} seconds" + (
            f" {half.lower()}.m." if half else ""
        )
    zone = {"Z": " UTC", None: ""}.get(match["zone"])
    return words + (_offset(match["zone"]) if zone is None else zone)


def _offset(zone: str) -> str:
    hours, _, minutes = zone[1:].partition(":")
    more = "" if int(minutes or "0") == 0 else f" {spell(int(minutes))}"
    return f" UTC {'plus' if zone[0] == '+' else 'minus'} {spell(int(hours))}{more}"


def _hours_with_half(match: re.Match[str]) -> str:
    first = f"{_clock_or_hour(match['first'])} to " if match["first"] else ""
    return f"{first}{_clock_or_hour(match['hour'])} {match['half'][0].lower()}.m."


def _clock_or_hour(text: str) -> str:
    hour, _, minute = text.partition(":")
    return clock(int(hour), int(minute or "0"), "x").removesuffix(" x.m.")


def _year_range(match: re.Match[str]) -> str:
    first, last = match["first"], match["last"]
    end = spell_year(int(last)) if len(last) == 4 else spell(int(last))
    return f"{spell_year(int(first))} to {end}"


def _year(match: re.Match[str]) -> str:
    return spell_year(int(match["year"]))


_TIME = r"(?:2[0-3]|[01]?\d):[0-5]\d"
_CLOCK = rf"\b(?:{_TIME}(?:\s?[ap]\.?m\b\.?)?|(?:1[0-2]|0?[1-9])\s?[ap]\.?m\b\.?)"
_SHORT_DAY = "|".join(_SHORT_DAYS)
_HALF_HOUR = r"(?:1[0-2]|0?[1-9])(?::[0-5]\d)?"

RULES: list[Rule] = [
    (
        re.compile(rf"\b({'|'.join(_SHORT_MONTHS)})\b\.?(?=\s\d|\s?$)"),
        lambda m: _SHORT_MONTHS[m[1]],
    ),
    (
        re.compile(rf"(?<=\d\s)({'|'.join(_SHORT_MONTHS)})\b\.?"),
        lambda m: _SHORT_MONTHS[m[1]],
    ),
    (
        re.compile(rf"\b({_SHORT_DAY})\.?\s?[-\u2013]\s?({_SHORT_DAY})\b\.?"),
        lambda m: f"{_SHORT_DAYS[m[1]]} to {_SHORT_DAYS[m[2]]}",
    ),
    (
        re.compile(rf"(?P<first>{_CLOCK})\s?[-\u2013\u2014]\s?(?={_CLOCK})", re.IGNORECASE),
        r"\g<first> to ",
    ),
    (
        re.compile(rf"\b({_SHORT_DAY})(?:\.|(?=,?\s(?:\d|{_MONTH})))(?=,?\s)"),
        lambda m: _SHORT_DAYS[m[1]],
    ),
    (
        re.compile(
            rf"\b(?P<year>{_YEAR})[-/](?P<month>\d{{2}})[-/](?P<day>\d{{2}})"
            r"(?P<joined>[T ](?=\d\d:)|(?!\d))"
        ),
        _iso_date,
    ),
    (
        re.compile(
            rf"(?<![\d/-])\d{{1,2}}(?:/\d{{1,2}}/(?:{_YEAR}|\d\d)|-\d{{1,2}}-{_YEAR})\b(?!/)"
        ),
        _slashed_date,
    ),
    (
        re.compile(r"\b(?P<day>\d{1,2})\.(?P<month>\d{1,2})\.(?P<year>[12]\d{3})\b"),
        _dotted_date,
    ),
    (
        re.compile(rf"(?<=\bon )(?:1[0-2]|0?[1-9])/{_DAY}\b(?!/)"),
        _slashed_date,
    ),
    (
        re.compile(
            rf"\b(?P<month>{_MONTH})\s+(?P<day>{_DAY})(?:st|nd|rd|th)?\b(?!:|,\d|\.\d|/)"
            rf"(?:{DASH}(?P<last>{_DAY})(?:st|nd|rd|th)?\b)?(?:,?\s+(?P<year>{_YEAR})\b(?!:))?"
        ),
        _month_date,
    ),
    (
        re.compile(
            rf"(?P<article>\b[Tt]he )?\b(?P<day>{_DAY})(?:st|nd|rd|th)?\s+"
            rf"(?:of\s+)?(?P<month>{_MONTH})\b"
            rf"(?:,?\s+(?P<year>{_YEAR})\b(?!:))?"
        ),
        _day_month,
    ),
    (
        re.compile(rf"\b(?P<month>{_MONTH})\s(?P<year>{_YEAR})\b(?!:)"),
        lambda m: f"{m['month']} {_year(m)}",
    ),
    (
        re.compile(
            rf"\b(?P<first>{_HALF_HOUR}){DASH}(?P<hour>{_HALF_HOUR})\s*{_HALF}", re.IGNORECASE
        ),
        _hours_with_half,
    ),
    (
        re.compile(
            r"\b(?P<hour>2[0-3]|[01]?\d):(?P<minute>[0-5]\d)"
            r"(?::(?P<second>[0-5]\d)(?:\.\d+)?)?(?![:\d])"
            rf"(?:\s*{_HALF})?(?P<zone>Z\b|[+-]\d\d:?\d\d\b)?",
            re.IGNORECASE,
        ),
        _time,
    ),
    (
        re.compile(rf"\b(?P<first>)(?P<hour>1[0-2]|0?[1-9])\s*{_HALF}", re.IGNORECASE),
        _hours_with_half,
    ),
    (re.compile(r"\b(?P<year>[12]\d{2}0)(?:'|\u2019)?s\b"), _decade),
    (re.compile(r"(?<!\w)(?:'|\u2019)?(?P<year>[2-9]0)(?:'|\u2019)?s\b"), _decade),
    (
        re.compile(
            rf"(?<![\w.,/-])(?P<first>1[1-9]\d\d|20\d\d){DASH}"
            rf"(?P<last>1[1-9]\d\d|20\d\d|\d\d){_NO_UNIT}"
        ),
        _year_range,
    ),
    (
        re.compile(rf"(?P<lead>{_YEAR_CONTEXT}[ -])(?P<year>1\d\d\d|20\d\d){_NO_UNIT}"),
        lambda m: m["lead"] + _year(m),
    ),
    (re.compile(rf"(?<![\w.,/$\u20ac\u00a3+-])(?P<year>19\d\d|20\d\d){_NO_UNIT}"), _year),
]

"""English number words, both ways. Pure."""

from __future__ import annotations

import re

_ONES = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_SCALES = {"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_VALUES = {word: value for value, word in enumerate(_ONES)} | {
    word: 10 * (index + 2) for index, word in enumerate(_TENS)
}
_ORDINAL_ENDS = {
    "one": "first",
    "two": "second",
    "three": "third",
    "five": "fifth",
    "eight": "eighth",
    "nine": "ninth",
    "twelve": "twelfth",
}
_TOKEN = re.compile(r"\d[\d,]*(?:\.\d+)?|[a-z]+|[^\sa-z\d]", re.IGNORECASE)
_MAX_SPELLED = 10**15


def spell(number: int) -> str:
    """`378` as "three hundred seventy eight"; digit by digit beyond a quadrillion."""
    if number < 0:
        return f"minus {spell(-number)}"
    if number >= _MAX_SPELLED:
        return spell_digits(str(number))
    if number < 20:
        return _ONES[number]
    if number < 100:
        rest = number % 10
        return _TENS[number // 10 - 2] + (f" {_ONES[rest]}" if rest else "")
    if number < 1000:
        rest = number % 100
        return f"{_ONES[number // 100]} hundred" + (f" {spell(rest)}" if rest else "")
    word, scale = next((w, s) for w, s in reversed(_SCALES.items()) if number >= s)
    rest = number % scale
    return f"{spell(number // scale)} {word}" + (f" {spell(rest)}" if rest else "")


def spell_digits(text: str) -> str:
    """Each digit by itself, as in phone numbers."""
    return " ".join(_ONES[int(letter)] for letter in text if letter.isdecimal())


def spell_decimal(text: str) -> str:
    """`-3.05` as "minus three point zero five"; thousands may have commas."""
    text = text.replace(",", "")
    whole, _, fraction = text.lstrip("-").partition(".")
    words = spell(int(whole or "0")) + (f" point {spell_digits(fraction)}" if fraction else "")
    return f"minus {words}" if text.startswith("-") else words


def spell_ordinal(number: int) -> str:
    """`21` as "twenty first"."""
    head, _, last = spell(number).rpartition(" ")
    if last in _ORDINAL_ENDS:
        last = _ORDINAL_ENDS[last]
    else:
        last = f"{last[:-1]}ieth" if last.endswith("y") else f"{last}th"
    return f"{head} {last}".strip()


def spell_year(year: int) -> str:
    """`2026` as "twenty twenty six", `2005` as "two thousand five"."""
    century, rest = divmod(year, 100)
    if not 1000 < year < 10000 or year % 1000 < 10:
        return spell(year)
    if rest == 0:
        return f"{spell(century)} hundred"
    return f"{spell(century)} {spell(rest) if rest >= 10 else f'oh {_ONES[rest]}'}"


def figures(text: str) -> str:
    """`text` with its number words as figures: "twenty seven times two point five" -> "27 times 2.5".

    A lone "a" stays; "a hundred" and "a dozen" are numbers. Digits said one by one ("four one
    five") become one figure when there are three or more of them.
    """
    tokens = _TOKEN.findall(text)
    result: list[str] = []
    index = 0
    while index < len(tokens):
        number, used = _read_number(tokens, index)
        result.append(number if used else tokens[index])
        index += used or 1
    return re.sub(r"\s+([.,!?;:%])", r"\1", " ".join(result))


def _read_number(tokens: list[str], start: int) -> tuple[str, int]:
    digits = _read_digit_row(tokens, start)
    if digits[1]:
        return digits
    value, used = _read_whole(tokens, start)
    if not used:
        return "", 0
    following = [token.lower() for token in tokens[start + used : start + used + 12]]
    if following[:1] == ["point"] and (digits_said := _digits_said(following[1:])):
        return f"{value}.{''.join(digits_said)}", used + 1 + len(digits_said)
    if following[:3] == ["and", "a", "half"]:
        return f"{value}.5", used + 3
    return str(value), used


def _digits_said(tokens: list[str]) -> list[str]:
    """The figures at the beginning of `tokens`, as figures."""
    said: list[str] = []
    for token in tokens:
        if token.isdecimal():
            said.append(token)
        elif _VALUES.get(token, 99) < 10:
            said.append(str(_VALUES[token]))
        else:
            break
    return said


def _read_digit_row(tokens: list[str], start: int) -> tuple[str, int]:
    """Three or more single digits in a row."""
    row = ""
    for token in tokens[start:]:
        value = 0 if token.lower() == "oh" and row else _VALUES.get(token.lower(), 99)
        if value > 9:
            break
        row += str(value)
    return (row, len(row)) if len(row) >= 3 else ("", 0)


def _read_whole(tokens: list[str], start: int) -> tuple[int, int]:
    """A whole number in words, perhaps beginning with figures ("2 million"); how many tokens."""
    total = group = used = 0
    index = start
    while index < len(tokens):
        word = tokens[index].lower()
        step = _value_step(tokens, index, group, is_first=used == 0)
        if step is None:
            break
        if word in _SCALES:
            total, group = total + max(group, 1) * _SCALES[word], 0
        elif word == "hundred":
            group = max(group, 1) * 100
        elif word == "dozen":
            group = max(group, 1) * 12
        else:
            group += step
        index += 1
        if word not in {"and", "-", "a"}:
            used = index - start
    return total + group, used


def _value_step(tokens: list[str], index: int, group: int, *, is_first: bool) -> int | None:
    """Return what this token adds to the number being read; None at its end."""
    word = tokens[index].lower()
    following = tokens[index + 1].lower() if index + 1 < len(tokens) else ""
    if word in _VALUES:
        value = _VALUES[word]
        fits = group % 100 == 0 or (group % 10 == 0 and group % 100 >= 20 and 0 < value < 10)
        return value if is_first or fits else None
    if word == "a":
        return 0 if is_first and following in {"hundred", "dozen", *_SCALES} else None
    if word in {"hundred", "dozen"} or word in _SCALES:
        return None if is_first and not _follows_article(tokens, index) else 0
    if word == "and":
        return 0 if not is_first and group % 100 == 0 and following in _VALUES else None
    if word == "-":
        return 0 if group and group % 10 == 0 and following in _VALUES else None
    if word.isdecimal() and is_first and following in _SCALES:
        return int(word)
    return None


def _follows_article(tokens: list[str], index: int) -> bool:
    return index == 0 or tokens[index - 1].lower() not in {"the", "this"}


def plain(value: float) -> str:
    """`value` for people: at most four decimals, no trailing zeros, thousands with commas."""
    rounded = round(value, 4)
    text = f"{rounded:,.4f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text

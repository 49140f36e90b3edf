"""Phone numbers, versions, PINs and codes as they are said. Pure."""

from __future__ import annotations

import re

from speech.spoken_text.numbers import spell, spell_digits, spell_year
from speech.spoken_text.rules import Rule

_NUMBERED = (
    "[Rr]oom|[Ff]light|[Rr]oute|[Hh]ighway|[Ss]uite|[Aa]partment|[Aa]pt|[Uu]nit|[Bb]us|[Ll]ine"
    "|[Tt]rain|[Bb]oeing|[Aa]irbus|[Gg]ate|[Ii]nterstate"
)
_SECRET = r"PIN|OTP|[Cc]ode|[Pp]asscode|[Pp]assword|[Ee]xt(?:\.|ension)|[Zz]ip|ZIP|[Rr]eference"
_PROGRAM = "[Vv]ersion|Python|Node|iOS|macOS|Android|Ubuntu|Java|PHP|Ruby|Go|Rust|release"
_DATE = re.compile(
    r"(?:3[01]|[12]\d|0?[1-9])[-.](?:1[0-2]|0?[1-9])[-.][12]\d{3}|[12]\d{3}-\d\d-\d\d"
    r"|(?:1[0-2]|0?[1-9])-(?:3[01]|[12]\d|0?[1-9])-[12]\d{3}"
)
_FEWEST_PHONE_DIGITS = 7


def _phone(match: re.Match[str]) -> str:
    """Groups are said digit by digit, with a breath between them."""
    text = match[0]
    groups = re.findall(r"\d+", text)
    is_list = not re.search(r"[-+.()]", text) and text[0] != "0" and {*map(len, groups)} <= {1, 2}
    if _DATE.fullmatch(text) or is_list or sum(map(len, groups)) < _FEWEST_PHONE_DIGITS:
        return text
    return ("plus " if text.startswith("+") else "") + ", ".join(map(spell_digits, groups))


def _digit_row(match: re.Match[str]) -> str:
    digits = match["digits"]
    if match["plus"] or not digits.endswith("000") or digits.startswith("0"):
        return ("plus " if match["plus"] else "") + spell_digits(digits)
    return spell(int(digits))


def _version(match: re.Match[str]) -> str:
    """Every part is a number of its own."""
    if _DATE.fullmatch(match["parts"]):
        return match[0]
    name = "version " if match["name"] in {"v", "V"} else match["name"] or ""
    return name + " point ".join(_part(part) for part in match["parts"].split("."))


def _part(digits: str) -> str:
    is_number = not digits.startswith("0") or digits == "0"
    return spell(int(digits)) if is_number else spell_digits(digits)


def _numbered(match: re.Match[str]) -> str:
    """`Room 305` as "Room three oh five": in pairs, as people say the numbers of things."""
    head, tail = match["number"][:-2], match["number"][-2:]
    if head.endswith("0"):
        return f"{match['name']} {spell_digits(match['number'])}"
    if tail == "00":
        return f"{match['name']} {spell(int(head))} hundred"
    oh = "oh " if tail[0] == "0" else ""
    return f"{match['name']} {spell(int(head))} {oh}{spell(int(tail))}"


def spoken_code(text: str) -> str:
    """Letters and digits mixed are said one by one; a lone A is tied to what it names."""
    parts = re.findall(r"\d+|[^\W\d_]+", text)
    has_letters, words = bool(re.match(r"[A-Z]{2}", text)), ""
    for part, following in zip(parts, [*parts[1:], ""], strict=True):
        if part.isdecimal():
            is_year = has_letters and re.fullmatch(r"(?:19|20)\d\d", part)
            is_number = len(part) <= 2 and not part.startswith("0")
            number = spell(int(part)) if is_number else spell_digits(part)
            words += spell_year(int(part)) if is_year else number
            words += "-" if following == "A" else " "
        elif part.isupper() and (len(part) <= 3 or not re.search(r"[AEIOUY]", part)):
            words += "-".join(part) + ("-" if part == "A" and following else " ")
        else:
            words += f"{part} "
    return words.strip()


def _scaled(match: re.Match[str]) -> str:
    digits, scale = match["number"], match["scale"]
    return f"{digits} {'K' if scale in 'kK' else {'M': 'million', 'B': 'billion'}[scale]}"


RULES: list[Rule] = [
    (
        re.compile(r"(?<![\w.,+-])[1-9]\d{0,2}(?:\s000)+\b(?![-.]?\d)"),
        lambda m: re.sub(r"\s", "", m[0]),
    ),
    (
        re.compile(
            rf"(?P<name>\b(?:{_SECRET})(?: code)?(?: is| number)?:? )"
            r"(?P<digits>\d{3,10})\b(?![.,:/-]\d)"
        ),
        lambda m: m["name"] + spell_digits(m["digits"]),
    ),
    (
        re.compile(
            r"(?:(?<![\w.,/-])(?:\+\d{1,3}[-. ]?)?(?:\(\d{2,4}\)[-. ]?)?\d{2,4}(?:[-. ]\d{2,4}){2,4}"
            r"|(?<![\w.,/-])(?:\+?\d{1,3}[-. ])?(?:\(\d{3}\)\s?|\d{3}[-. ])?\d{3}[-. ]\d{4}"
            r"|(?:\+\d{1,3}[-. ]?)?\(\d{2,5}\)[-. ]?\d{3,8}(?:[-. ]\d{1,6}){0,3}"
            r"|(?<![\w.,/-])\+\d{1,3}(?:[-. ]\d{2,8}){1,4})\b(?![-./]?\d|:)"
        ),
        _phone,
    ),
    (re.compile(r"(?<![\w.,/-])(?P<plus>\+)?(?P<digits>\d{7,40})\b(?![.,]\d)"), _digit_row),
    (
        re.compile(
            rf"\b(?P<name>[vV]|(?:{_PROGRAM})\s)(?P<parts>\d{{1,4}}\.\d{{1,6}})(?![\w]|\.\d)"
        ),
        _version,
    ),
    (
        re.compile(r"(?<![\w.])(?P<name>[vV])?(?P<parts>\d{1,4}(?:\.\d{1,6}){2,4})(?![\w]|\.\d)"),
        _version,
    ),
    (re.compile(r"\b(?P<name>[vV])(?P<parts>\d{1,4})\b(?!\.\d)"), _version),
    (
        re.compile(rf"\b(?P<name>{_NUMBERED}) #?(?P<number>[1-9]\d{{2,3}})(?![\w,:]|\.\d)"),
        _numbered,
    ),
    (re.compile(r"\b[A-Z]{1,4}-\d{3,}(?:-\w+)*\b"), lambda m: spoken_code(m[0])),
    (re.compile(r"(?<![\w.])(?P<number>\d+(?:\.\d+)?)(?P<scale>[kK])\b(?!['\u2019])"), _scaled),
    (re.compile(r"(?<![\w.])(?P<number>\d+(?:\.\d+)?)(?P<scale>[MB])(?=\s[a-z]+s\b)"), _scaled),
    (re.compile(r"(?<=\d)-(for|to|by|in|on|and|or|out|up|down)-(?=\w)"), r" \1 "),
]

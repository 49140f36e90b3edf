"""Money, percentages, temperatures and measures as they are said in English. Pure."""

from __future__ import annotations

import re

from speech.spoken_text.numbers import spell, spell_decimal
from speech.spoken_text.rules import DASH, NUMBER, Rule

_SIGNED = rf"(?<![\w.,/])[-+\u2212]?{NUMBER}"
_CURRENCIES = {
    "$": ("dollar", "dollars", "cent"),
    "\u20ac": ("euro", "euros", "cent"),
    "\u00a3": ("pound", "pounds", "penny"),
    "\u00a5": ("yen", "yen", "sen"),
    "\u20b9": ("rupee", "rupees", "paisa"),
    "\u20a9": ("won", "won", "jeon"),
    "\u20bf": ("bitcoin", "bitcoins", "satoshi"),
}
_CODES = {
    "USD": ("US dollar", "US dollars", "cent"),
    "CAD": ("Canadian dollar", "Canadian dollars", "cent"),
    "AUD": ("Australian dollar", "Australian dollars", "cent"),
    "EUR": _CURRENCIES["\u20ac"],
    "GBP": _CURRENCIES["\u00a3"],
    "JPY": _CURRENCIES["\u00a5"],
    "CHF": ("Swiss franc", "Swiss francs", "centime"),
    "INR": _CURRENCIES["\u20b9"],
    "BTC": _CURRENCIES["\u20bf"],
}
_COUNTRIES = {
    "C": "Canadian ", "CA": "Canadian ", "A": "Australian ", "AU": "Australian ", "HK": "Hong Kong ",
    "NZ": "New Zealand ",
}  # fmt: skip
_PLURAL_CENTS = {"penny": "pence", "paisa": "paise", "sen": "sen", "jeon": "jeon"}
_SCALES = {
    "k": "thousand", "m": "million", "mn": "million", "b": "billion", "bn": "billion", "t": "trillion",
}  # fmt: skip
_SCALE = r"(?:\s?(?P<scale>[kK]|[mM]n?|bn|[bB]|[tT]|thousand|million|billion|trillion)\b)?"

_UNITS = {
    "km": "kilometer", "cm": "centimeter", "mm": "millimeter", "nm": "nanometer", "m": "meter",
    "µm": "micrometer", "mi": "mile", "yd": "yard", "ft": "foot", "in.": "inch",
    "kg": "kilogram", "mg": "milligram", "g": "gram", "lb": "pound", "lbs": "pound", "oz": "ounce",
    "L": "liter", "l": "liter", "ml": "milliliter", "mL": "milliliter", "cl": "centiliter", "gal": "gallon",
    "h": "hour", "hr": "hour", "hrs": "hour", "min": "minute", "mins": "minute", "s": "second",
    "sec": "second", "secs": "second", "ms": "millisecond", "µs": "microsecond", "ns": "nanosecond",
    "kB": "kilobyte", "KB": "kilobyte", "MB": "megabyte", "GB": "gigabyte", "TB": "terabyte",
    "KiB": "kibibyte", "MiB": "mebibyte", "GiB": "gibibyte",
    "W": "watt", "kW": "kilowatt", "MW": "megawatt", "GW": "gigawatt", "Wh": "watt hour",
    "kWh": "kilowatt hour", "mAh": "milliamp hour", "V": "volt", "kV": "kilovolt", "mA": "milliamp",
    "kcal": "kilocalorie", "cal": "calorie", "kJ": "kilojoule", "px": "pixel", "dB": "decibel",
    "tsp": "teaspoon", "tbsp": "tablespoon", "ha": "hectare", "mol": "mole", "bpm": "beat per minute",
    "km²": "square kilometer", "m²": "square meter", "cm²": "square centimeter", "sqm": "square meter",
    "sqft": "square foot", "sq ft": "square foot", "sq. ft.": "square foot", "m³": "cubic meter",
    "cm³": "cubic centimeter", "km/h": "kilometer per hour", "kph": "kilometer per hour",
    "km/s": "kilometer per second", "m/s": "meter per second", "mph": "mile per hour", "kt": "knot",
    "fl oz": "fluid ounce", "mpg": "mile per gallon", "fps": "frame per second",
}  # fmt: skip
_UNCHANGED = {
    "Hz": "hertz", "kHz": "kilohertz", "MHz": "megahertz", "GHz": "gigahertz", "psi": "P S I",
    "rpm": "R P M", "hPa": "hectopascals", "kPa": "kilopascals", "Mbps": "megabits per second",
    "Gbps": "gigabits per second", "kbps": "kilobits per second", "Mbit/s": "megabits per second",
    "MB/s": "megabytes per second", "GB/s": "gigabytes per second", "ppm": "parts per million",
    "ft": "feet",
}  # fmt: skip
_IRREGULAR = {"foot": "feet", "inch": "inches"}
UNIT = "|".join(
    re.escape(unit) for unit in sorted({*_UNITS, *_UNCHANGED}, key=len, reverse=True)
)  # fmt: skip


def _plural(name: str) -> str:
    head, per, tail = name.partition(" per ")
    first, space, last = head.rpartition(" ")
    return f"{first}{space}{_IRREGULAR.get(last, f'{last}s')}{per}{tail}"


def unit_name(unit: str, number: str) -> str:
    """`km` as "kilometers", or "kilometer" after exactly one."""
    name = _UNITS.get(unit)
    if name is None:
        return _UNCHANGED[unit]
    return name if number in {"1", "-1"} else _plural(name)


def spell_signed(text: str) -> str:
    """Like `spell_decimal`, with the typographic minus and a plus too."""
    text = text.replace("\u2212", "-")
    return f"plus {spell_decimal(text[1:])}" if text.startswith("+") else spell_decimal(text)


def _is_before_noun(match: re.Match[str]) -> bool:
    """A measure between an article and a noun is singular: "a five kilometer run"."""
    return re.search(r"\b[Aa]n?\s$", match.string[: match.start()]) is not None


def _measure(match: re.Match[str]) -> str:
    first = f"{spell_signed(match['first'])} to " if match["first"] else ""
    number, unit = match["number"], match["unit"]
    name = unit_name(unit, "1" if _is_before_noun(match) else "2" if first else number)
    end = (
        "."
        if unit.endswith(".") and re.match(r"\s*$|\s+[A-Z]", match.string[match.end() :])
        else ""
    )
    return f"{first}{spell_signed(number)} {name}{end}"


def _compound(match: re.Match[str]) -> str:
    """A measure before a noun stays singular: "a 5-km run"."""
    return f"{spell_decimal(match['number'])} {unit_name(match['unit'], '1')}"


def _money(match: re.Match[str]) -> str:
    first = f"{spell_decimal(match['first'])} to " if match["first"] else ""
    names = _CODES[match["code"]] if match["code"] else _CURRENCIES[match["sign"]]
    minus = "minus " if match["minus"] else ""
    words = minus + first + _amount(match["number"], match["scale"], names, is_range=bool(first))
    country = _COUNTRIES.get(match["country"] or "", "")
    return re.sub(r"\bdollars?\b", lambda m: f"{country}{m[0]}", words)


def _money_behind(match: re.Match[str]) -> str:
    names = _CODES.get(match["unit"]) or _CURRENCIES[match["unit"]]
    number = re.sub(r",(\d\d)$", r".\1", match["number"])
    return _amount(number, match["scale"], names, is_range=False)


def _amount(number: str, scale: str | None, names: tuple[str, str, str], *, is_range: bool) -> str:
    one, many, _ = names
    whole, _, cents = number.replace(",", "").partition(".")
    if scale:
        return f"{spell_decimal(number)} {_SCALES.get(scale.lower(), scale.lower())} {many}"
    if cents and len(cents) != 2 and set(cents) != {"0"}:
        return (
            f"{spell_decimal(number)} {many}"
            if len(cents) > 2
            else _amount(f"{number}0", None, names, is_range=is_range)
        )
    name = one if int(whole) == 1 and not is_range else many
    if not int(cents or "0"):
        return f"{spell_decimal(whole)} {name}"
    small = f"{spell(int(cents))} {_cents(int(cents), names[2])}"
    return small if int(whole) == 0 else f"{spell_decimal(whole)} {name} and {small}"


def _cents(number: int, name: str) -> str:
    return name if number == 1 else _PLURAL_CENTS.get(name, f"{name}s")


def _percent(match: re.Match[str]) -> str:
    first = f"{spell_signed(match['first'])} to " if match["first"] else ""
    return f"{first}{spell_signed(match['number'])} percent"


def _temperature(match: re.Match[str]) -> str:
    first = f"{spell_signed(match['first'])} to " if match["first"] else ""
    scale = {"C": " celsius", "F": " fahrenheit", None: ""}[match["scale"]]
    is_one = match["number"] == "1" and not first
    return f"{first}{spell_signed(match['number'])} degree{'' if is_one else 's'}{scale}"


def _inches(match: re.Match[str]) -> str:
    """A double quote behind a figure, unless it closes a quotation."""
    if match.string[: match.start()].count('"') % 2:
        return match[0]
    is_one = match["number"] == "1" or _is_before_noun(match)
    return f"{spell_decimal(match['number'])} {'inch' if is_one else 'inches'}"


def _feet_and_inches(match: re.Match[str]) -> str:
    inches = f" {spell_decimal(match['inches'])} inches" if match["inches"] else ""
    return f"{spell(int(match['feet']))} {'foot' if match['feet'] == '1' else 'feet'}{inches}"


def _per(match: re.Match[str]) -> str:
    return f" per {match['unit']}"


_RANGE = rf"(?:(?P<first>{_SIGNED})(?:\s?\u00b0[CF]?)?(?:{DASH}|\sto\s))?"
_NUMBER = rf"(?P<number>(?<![\w.,])[-+\u2212]?{NUMBER}|(?<=[-\u2013]){NUMBER})"
_CODE = "|".join(_CODES)
_SIGN = f"[{''.join(_CURRENCIES)}]"

RULES: list[Rule] = [
    (re.compile(r"(?<=\d)\s?%\s?[-\u2013]\s?(?=\d+(?:\.\d+)?\s?%)"), " to "),
    (re.compile(r"\bRs\.?\s?(?=\d)"), "\u20b9"),
    (
        re.compile(
            r"(?<![\w.,])(?P<feet>[3-8])['\u2019](?P<inches>1[01]|\d)(?![\w\"\u201d'\u2033])"
        ),
        _feet_and_inches,
    ),
    (re.compile(r"(?<=\d)(?P<hours>\s?h(?:rs?)?\s?\d{1,2})\s?m(?:in)?\b"), r"\g<hours> min"),
    (
        re.compile(rf"{_RANGE}{_NUMBER}\s*(?:\u00b0\s?|\u00ba\s?|degrees\s+)(?P<scale>[CF])\b"),
        _temperature,
    ),
    (re.compile(rf"{_RANGE}{_NUMBER}\s?[\u00b0\u00ba](?P<scale>(?!))?"), _temperature),
    (re.compile(r"\u2103"), " degrees celsius"),
    (re.compile(r"\u2109"), " degrees fahrenheit"),
    (re.compile(r"(?<=\w)\s?\u00b0\s?C\b"), " degrees celsius"),
    (
        re.compile(
            r"\b(?P<feet>\d{1,2})\s?['\u2032\u2019]\s?"
            r"(?P<inches>\d{1,2}(?:\.\d+)?)\s?(?:[\"\u2033\u201d]|'')"
        ),
        _feet_and_inches,
    ),
    (re.compile(r"\b(?P<feet>\d{1,5})\u2032(?P<inches>(?!))?"), _feet_and_inches),
    (re.compile(r"(?<![\w.,])(?P<number>\d+(?:\.\d+)?)\"(?![\w\"])"), _inches),
    (
        re.compile(r"(?<![\w.,])(?P<number>\d+(?:\.\d+)?)\u2033"),
        lambda m: f"{spell_decimal(m['number'])} inches",
    ),
    (
        re.compile(
            rf"(?P<minus>[-\u2212](?=[A-Z]?{_SIGN}))?"
            r"(?:\b(?P<country>US|U\.S\.|CA?|AU?|HK|NZ)(?=\$))?"
            rf"(?:(?P<sign>{_SIGN})|(?P<code>\b(?:{_CODE})\b))\s?"
            rf"(?:(?P<first>{NUMBER}){DASH}{_SIGN}?)?(?P<number>{NUMBER}){_SCALE}"
        ),
        _money,
    ),
    (
        re.compile(
            rf"(?<![\w.,])(?P<number>\d+(?:,\d{{3}})*(?:[.,]\d{{1,2}})?){_SCALE}\s?"
            rf"(?P<unit>{_SIGN}|(?:{_CODE})\b)"
        ),
        _money_behind,
    ),
    (
        re.compile(rf"(?<![\w.,])(?P<number>{NUMBER})\s?\u00a2"),
        lambda m: f"{spell_decimal(m['number'])} cents",
    ),
    (re.compile(rf"{_RANGE}{_NUMBER}\s?%"), _percent),
    (re.compile(rf"(?<![\w.,])(?P<number>{NUMBER})-(?P<unit>{UNIT})(?![\w/])"), _compound),
    (
        re.compile(rf"{_RANGE}{_NUMBER}\s?(?P<unit>{UNIT})(?:\.(?=\s[a-z]))?(?![\w/'\u2019]|-\w)"),
        _measure,
    ),
    (
        re.compile(
            r"(?<=[a-z\d])\s?/\s?(?P<unit>second|minute|hour|day|night|week|month|year"
            r"|person|kg|hr|mo|yr)\b"
        ),
        _per,
    ),
]

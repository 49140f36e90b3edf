"""Arithmetic and unit conversion on what was said. Pure; nothing is ever evaluated as code."""

from __future__ import annotations

import re
from collections.abc import Callable

from speech.dialogue.context import Action, Context, Say
from speech.dialogue.utterance import Utterance
from speech.spoken_text.numbers import plain

_NUMBER = r"-?\d[\d,]*(?:\.\d+)?"
_MAX_POWER = 64
_LIMIT = 1e15

_OPERATORS: list[tuple[str, str]] = [
    (r"multiplied by|times|\*", "*"),
    (r"divided by|over|/", "/"),
    (r"plus|added to|\+", "+"),
    (r"minus|less|-", "-"),
    (r"to the power of|raised to", "^"),
    (r"percent of|% of", "%"),
    (r"modulo|mod", "mod"),
]
_SYMBOLS = {"*": "times", "/": "divided by", "+": "plus", "-": "minus", "^": "to the power of"}
_BINARY: dict[str, Callable[[float, float], float]] = {
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "^": lambda a, b: a**b if abs(b) <= _MAX_POWER else float("inf"),
    "%": lambda a, b: a * b / 100,
    "mod": lambda a, b: a % b,
}
_PRIORITY = {"+": 1, "-": 1, "*": 2, "/": 2, "mod": 2, "%": 3, "^": 3}


def answer_arithmetic(heard: Utterance, _context: Context) -> Action | None:
    """ "How much is 27 times 14?" """
    text = re.sub(r"(?<=\d) -(?=\d)", " - ", _in_order(heard.core))
    for pattern, operator in _OPERATORS:
        text = re.sub(rf"(?<=[\d%])\s*(?:{pattern})(?=[\s\d-])", f" {operator} ", text)
    expression = re.search(rf"{_NUMBER}(?:\s*(?:\*|/|\+|-|\^|%|mod)\s*{_NUMBER})+", text)
    if expression is None:
        return None
    parsed = _parse(expression[0])
    if parsed is None:
        return None
    values, operators = parsed
    try:
        result = calculate(values, operators)
    except ZeroDivisionError:
        return Say("Dividing by zero has no answer.")
    except OverflowError:
        result = float("inf")
    if isinstance(result, complex) or not abs(result) < _LIMIT:
        return Say("That number is too big for me.")
    return Say(f"{_spoken_expression(values, operators)} is {plain(result)}.")


def _in_order(text: str) -> str:
    """Other ways to ask, turned into infix: "add 2 and 3", "the square root of 16"."""
    rewrites = [
        (rf"\badd ({_NUMBER}) (?:and|to) ({_NUMBER})", r"\1 + \2"),
        (rf"\bsum of ({_NUMBER}) and ({_NUMBER})", r"\1 + \2"),
        (rf"\bsubtract ({_NUMBER}) from ({_NUMBER})", r"\2 - \1"),
        (rf"\bdifference between ({_NUMBER}) and ({_NUMBER})", r"\1 - \2"),
        (rf"\bmultiply ({_NUMBER}) (?:by|and|with) ({_NUMBER})", r"\1 * \2"),
        (rf"\bproduct of ({_NUMBER}) and ({_NUMBER})", r"\1 * \2"),
        (rf"\bdivide ({_NUMBER}) by ({_NUMBER})", r"\1 / \2"),
        (rf"\bhalf of ({_NUMBER})", r"\1 / 2"),
        (rf"\bsquare root of ({_NUMBER})", r"\1 ^ 0.5"),
        (rf"({_NUMBER}) squared", r"\1 ^ 2"),
        (rf"({_NUMBER}) cubed", r"\1 ^ 3"),
        (rf"({_NUMBER})\s*x\s*({_NUMBER})", r"\1 * \2"),
    ]
    for pattern, replacement in rewrites:
        text = re.sub(pattern, replacement, text)
    return text


def _parse(expression: str) -> tuple[list[float], list[str]] | None:
    values: list[float] = []
    operators: list[str] = []
    position = 0
    while True:
        number = re.compile(rf"\s*({_NUMBER})").match(expression, position)
        if number is None:
            return None
        values.append(float(number[1].replace(",", "")))
        operator = re.compile(r"\s*(mod|[*/+^%-])").match(expression, number.end())
        if operator is None:
            return (values, operators) if operators else None
        operators.append(operator[1])
        position = operator.end()


def calculate(values: list[float], operators: list[str]) -> float:
    """The value of an infix expression by the usual priorities.

    Raises:
        ZeroDivisionError, OverflowError: as the numbers demand.
    """
    values, operators = list(values), list(operators)
    for priority in (3, 2, 1):
        index = 0
        while index < len(operators):
            if _PRIORITY[operators[index]] != priority:
                index += 1
                continue
            result = _BINARY[operators[index]](values[index], values[index + 1])
            values[index : index + 2] = [result]
            del operators[index]
    return values[0]


def _spoken_expression(values: list[float], operators: list[str]) -> str:
    if operators == ["^"] and values[1] == 0.5:
        return f"The square root of {plain(values[0])}"
    if operators == ["%"]:
        return f"{plain(values[0])}% of {plain(values[1])}"
    words = [plain(values[0])]
    for operator, value in zip(operators, values[1:], strict=True):
        words += [_SYMBOLS.get(operator, operator), plain(value)]
    return " ".join(words)


# -- units -------------------------------------------------------------------------------------

_UNITS: dict[str, tuple[str, float, str]] = {
    # pattern: (kind, size in the kind's base unit, name in the plural)
    r"millimet(?:er|re)s?|mm": ("length", 0.001, "millimeters"),
    r"centimet(?:er|re)s?|cm": ("length", 0.01, "centimeters"),
    r"kilomet(?:er|re)s?|km": ("length", 1000.0, "kilometers"),
    r"met(?:er|re)s?": ("length", 1.0, "meters"),
    r"inch(?:es)?": ("length", 0.0254, "inches"),
    r"feet|foot|ft": ("length", 0.3048, "feet"),
    r"yards?": ("length", 0.9144, "yards"),
    r"nautical miles?": ("length", 1852.0, "nautical miles"),
    r"miles?": ("length", 1609.344, "miles"),
    r"milligrams?|mg": ("mass", 1e-6, "milligrams"),
    r"kilograms?|kilos?|kg": ("mass", 1.0, "kilograms"),
    r"grams?": ("mass", 0.001, "grams"),
    r"pounds?|lbs?": ("mass", 0.45359237, "pounds"),
    r"ounces?|oz": ("mass", 0.028349523125, "ounces"),
    r"tons?|tonnes?": ("mass", 1000.0, "metric tons"),
    r"millilit(?:er|re)s?|ml": ("volume", 0.001, "milliliters"),
    r"lit(?:er|re)s?": ("volume", 1.0, "liters"),
    r"gallons?": ("volume", 3.785411784, "gallons"),
    r"cups?": ("volume", 0.2365882365, "cups"),
    r"pints?": ("volume", 0.473176473, "pints"),
    r"seconds?": ("time", 1.0, "seconds"),
    r"minutes?": ("time", 60.0, "minutes"),
    r"hours?": ("time", 3600.0, "hours"),
    r"days?": ("time", 86400.0, "days"),
    r"weeks?": ("time", 604800.0, "weeks"),
    r"(?:degrees? )?celsius|(?:degrees? )?centigrade": ("temperature", 0.0, "degrees Celsius"),
    r"(?:degrees? )?fahrenheit": ("temperature", 0.0, "degrees Fahrenheit"),
}
_ANY_UNIT = "|".join(sorted(_UNITS, key=len, reverse=True))
_CONVERSIONS = (
    rf"(?P<n>{_NUMBER}) (?P<a>{_ANY_UNIT}) (?:in|into|to|as) (?P<b>{_ANY_UNIT})\b",
    (
        rf"how many (?P<b>{_ANY_UNIT}) (?:are |is |make )?(?:there )?(?:in )?"
        rf"(?P<n>{_NUMBER}|an?) (?P<a>{_ANY_UNIT})\b"
    ),
    rf"(?:in|into|to) (?P<b>{_ANY_UNIT}) (?:is |are )?(?P<n>{_NUMBER}) (?P<a>{_ANY_UNIT})\b",
)


def answer_units(heard: Utterance, _context: Context) -> Action | None:
    """ "How many kilometers are 10 miles?" """
    for pattern in _CONVERSIONS:
        if (match := heard.find(pattern)) is not None:
            break
    else:
        return None
    number = 1.0 if match["n"].startswith("a") else float(match["n"].replace(",", ""))
    source, target = _unit(match["a"]), _unit(match["b"])
    if source[0] != target[0]:
        return Say(f"{source[2].capitalize()} cannot be turned into {target[2]}.")
    result = convert(number, source, target)
    return Say(f"{_amount(number, source[2])} is {_amount(result, target[2])}.")


def convert(number: float, source: tuple[str, float, str], target: tuple[str, float, str]) -> float:
    """`number` of `source` in `target`."""
    if source[0] != "temperature":
        return number * source[1] / target[1]
    if source[2] == target[2]:
        return number
    return (number - 32) / 1.8 if "Fahrenheit" in source[2] else number * 1.8 + 32


def _unit(text: str) -> tuple[str, float, str]:
    return next(unit for pattern, unit in _UNITS.items() if re.fullmatch(pattern, text))


def _amount(number: float, unit: str) -> str:
    shown = plain(round(number, 2) if abs(number) >= 1 else number)
    if shown == "1":
        unit = {"feet": "foot", "inches": "inch"}.get(unit, unit.replace("degrees", "degree"))
        unit = unit.removesuffix("s") if not unit.startswith("degree") else unit
    return f"{shown} {unit}"

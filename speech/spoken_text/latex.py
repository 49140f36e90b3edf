"""The LaTeX that models write in formulas, in words. Pure."""

from __future__ import annotations

import re

_GREEK = (
    "alpha|beta|gamma|delta|epsilon|zeta|eta|theta|iota|kappa|lambda|mu|nu|xi|pi|rho|sigma|tau"
    "|upsilon|phi|chi|psi|omega|infty"
)
_WORDS = {
    "times": "times",
    "cdot": "times",
    "div": "divided by",
    "pm": "plus or minus",
    "leq": "is at most",
    "le": "is at most",
    "geq": "is at least",
    "ge": "is at least",
    "neq": "is not",
    "ne": "is not",
    "approx": "is about",
    "to": "to",
    "rightarrow": "to",
    "sum": "the sum of",
    "int": "the integral of",
    "infty": "infinity",
    "degree": "degrees",
    "circ": "degrees",
    "ldots": "and so on",
    "dots": "and so on",
    "quad": ",",
    "percent": "percent",
}
_MATH = re.compile(
    r"\\\((.+?)\\\)|\\\[(.+?)\\\]|\$\$(.+?)\$\$|(?<![\w$])\$([^\s$][^$\n]*?)\$(?![\w$])"
)
_FRACTION = re.compile(r"\\[dt]?frac\{([^{}]*)\}\{([^{}]*)\}")
_ROOT = re.compile(r"\\sqrt\{([^{}]*)\}")
_POWER = re.compile(r"\^(?:\{([^{}]*)\}|(\w))")
_COMMAND = re.compile(r"\\([a-zA-Z]+)\*?")
_POWERS = {"2": " squared", "3": " cubed"}


def spoken_latex(text: str, language: str = "en") -> str:
    """`text` with its formulas in English words; in other languages only the marks go."""
    if "\\" not in text and "$" not in text:
        return text
    return _MATH.sub(lambda match: _formula(match, language), text)


def _formula(match: re.Match[str], language: str) -> str:
    body = next(group for group in match.groups() if group is not None)
    is_money = match[0].startswith("$") and not re.search(r"[\\^_={}+]|^\w$", body)
    if is_money:
        return match[0]
    return _spoken(body) if language == "en" else re.sub(r"[\\{}]", " ", body)


def _spoken(body: str) -> str:
    for _ in range(4):  # nested ones, from the inside
        body = _FRACTION.sub(r" \1 over \2 ", body)
        body = _ROOT.sub(r" the square root of \1 ", body)
    body = _POWER.sub(_power, body)
    body = _COMMAND.sub(lambda match: f" {_WORDS.get(match[1], _name(match[1]))} ", body)
    body = re.sub(r"(?<=[\w)])\s*=\s*", " equals ", body)
    body = re.sub(r"(?<=[\w)])\s*\+\s*", " plus ", body)
    body = re.sub(r"(?<=[\w)])\s*-\s*(?=[\w(])", " minus ", body)
    return re.sub(r"[\\{}_$]", " ", body)


def _power(match: re.Match[str]) -> str:
    power = match[1] if match[1] is not None else match[2]
    return _POWERS.get(power, " degrees" if power == "\\circ" else f" to the power of {power}")


def _name(command: str) -> str:
    """Greek letters by their names; commands of layout say nothing."""
    return command.lower() if re.fullmatch(_GREEK, command.lower()) else ""

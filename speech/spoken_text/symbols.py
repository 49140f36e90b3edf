"""Signs without a sound of their own, by name, in English. Pure."""

from __future__ import annotations

import re

from speech.spoken_text.rules import Rule

_GREEK = dict(
    zip(
        "αβγδεζηθικλμνξοπρστυφχψω",
        [
            "alpha",
            "beta",
            "gamma",
            "delta",
            "epsilon",
            "zeta",
            "eta",
            "theta",
            "iota",
            "kappa",
            "lambda",
            "mu",
            "nu",
            "xi",
            "omicron",
            "pi",
            "rho",
            "sigma",
            "tau",
            "upsilon",
            "phi",
            "chi",
            "psi",
            "omega",
        ],
        strict=True,
    )
)
_NAMED = {
    "\u00b1": "plus or minus", "\u00f7": "divided by", "\u00d7": "times", "\u2248": "is about",
    "\u2260": "is not equal to", "\u2264": "is at most", "\u2265": "is at least", "\u221e": "infinity",
    "\u221a": "the square root of", "\u2211": "the sum of", "\u222b": "the integral of", "\u00b0": "degrees",
    "\u00a9": "copyright", "\u00a7": "section", "\u00b6": "paragraph", "%": "percent", "\u2030": "per mille",
    "\u20ac": "euros", "\u00a3": "pounds", "\u00a5": "yen", "$": "dollars", "\u2116": "number",
    "\u2212": "minus", "\u2192": "to", "\u2190": "from", "@": "at", "\u2205": "the empty set",
}  # fmt: skip
_NAME = re.compile(f"[{re.escape(''.join(_NAMED))}]")
_OPERAND = r"(?<=[\w)])"

UNSPOKEN: list[Rule] = [
    (re.compile("[\u00ad\u200b\u200e\u200f\u2060\ufeff\u2122\u00ae]"), ""),
    (re.compile("[\u00a0\u2007\u202f\u2009]"), " "),
]

BEFORE_FIGURES: list[Rule] = [
    *UNSPOKEN,
    (re.compile(r"(?<![\w~])[~\u2248]\s?(?=[\d$\u20ac\u00a3])"), "about "),
    (re.compile(rf"{_OPERAND}\s*(?:==?|\u2261)\s*(?=[\w$(+-])"), " equals "),
    (re.compile(rf"{_OPERAND}\s*(?:<=|\u2264)\s*(?=[\w$-])"), " is at most "),
    (re.compile(rf"{_OPERAND}\s*(?:>=|\u2265)\s*(?=[\w$-])"), " is at least "),
    (re.compile(rf"{_OPERAND}\s*(?:!=|\u2260)\s*(?=[\w$-])"), " is not equal to "),
    (re.compile(r"(?<=[\w)])\s<\s(?=[\w$-])"), " is less than "),
    (re.compile(r"(?<=[\w)])\s>\s(?=[\w$-])"), " is more than "),
    (re.compile(r"(?<!\S)<3+(?=[\s.!]*$)"), ""),
    (re.compile(r"(?<=[\u20ac$\u00a3])\s?(\d{1,3})\.(\d{3}),(\d\d)\b"), r"\1,\2.\3"),
    (re.compile(r"(\d)/(\d{1,2}) (?=stars|points)"), r"\1 out of \2 "),
    (re.compile(r"(?<![\w<])<\s?(?=[\d$\u20ac\u00a3])"), "less than "),
    (re.compile(r"(?<![\w>-])>\s?(?=[\d$\u20ac\u00a3])"), "more than "),
    (re.compile(r"(?<=\d)\s*[*\u00d7\u22c5\u00b7]\s+(?=\d)"), " times "),
    (re.compile(r"(?<=\d)\s*\u00f7\s*(?=\d)"), " divided by "),
    (re.compile(r"(?<=\d)\s+/\s+(?=\d)"), " divided by "),
    (re.compile(r"(?<=[\d)])\s+[-\u2212]\s+(?=[\d(])"), " minus "),
    (re.compile(r"(?<=[\d)])\s*\+\s*(?=[\d(])"), " plus "),
    (re.compile(r"(?<=\b[a-zA-Z])\s+([+])\s+(?=\w)"), " plus "),
    (re.compile(r"(?<=\d)\+(?!\w)"), " plus"),
    (re.compile(r"\bC\+\+"), "C plus plus"),
    (re.compile(r"\b([CF])#(?!\w)"), r"\1 sharp"),
    (re.compile(r"\.NET\b"), "dot net"),
    (re.compile(r"(?<=[A-Z])&(?=[A-Z])"), " and "),
]

AFTER_FIGURES: list[Rule] = [
    (re.compile(r"(?<!\S)[:;=]-?[)(DPp|](?!\S)"), ""),
    (re.compile(r"(?<!\S)--(?=[a-zA-Z])"), "dash dash "),
    (re.compile(r"(?<!\S)-(?=[a-zA-Z]{1,3}\b)"), "dash "),
    (re.compile(r"[*_`#|<>{}\[\]^~\\\u2022\u00b7\u2020\u2021]+"), " "),
    (re.compile(r"\s*&\s*"), " and "),
    (re.compile(r"\s*=\s*"), " equals "),
    (re.compile(r"\s*\+\s*"), " plus "),
    (re.compile(r"(?<=\w)/(?=\w)"), " "),
    (re.compile(r"/"), " "),
    (re.compile(r"\s*\u2026"), "..."),
    (re.compile(r"\s*[\u2013\u2014]+\s*(?=[^\s.,;:!?])"), ", "),
    (re.compile(r"(?<=\s)-+(?=\s)"), ","),
    (re.compile(r"[\u2013\u2014]+"), ""),
    (re.compile(r"\s-(?=\w)"), " "),
    (
        re.compile("[\u0391-\u03c9]"),
        lambda m: f" {_GREEK[m[0].lower()]} " if m[0].lower() in _GREEK else m[0],
    ),
    (_NAME, lambda m: f" {_NAMED[m[0]]} "),
    (re.compile(r"\s+([,.;:!?])"), r"\1"),
    (re.compile(r"(?<=\b[ap]\.m\.)\.(?!\.)"), ""),
    (re.compile(r"(?<=[a-z]),(?=\w)"), ", "),
    (re.compile(r"([,;:])(?:\s*,)+"), r"\1"),
    (re.compile(r"^[\s,;:.]+(?=\w)"), ""),
]

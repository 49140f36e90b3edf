"""Abbreviations, titles, acronyms and Roman numerals as they are said in English. Pure."""

from __future__ import annotations

import re

from speech.spoken_text.numbers import spell, spell_ordinal
from speech.spoken_text.rules import Rule

_ABBREVIATIONS = {
    "Mr.": "Mister", "Mrs.": "Missus", "Ms.": "Miz", "Prof.": "Professor", "Capt.": "Captain",
    "Lt.": "Lieutenant", "Sgt.": "Sergeant", "Col.": "Colonel", "Gen.": "General", "Gov.": "Governor",
    "Sen.": "Senator", "Rep.": "Representative", "Rev.": "Reverend", "Hon.": "Honorable",
    "Pres.": "President", "Jr.": "Junior", "Sr.": "Senior", "Esq.": "Esquire",
    "e.g.": "for example", "i.e.": "that is", "etc.": "et cetera", "vs.": "versus", "vs": "versus",
    "viz.": "namely", "cf.": "compare", "approx.": "approximately", "et al.": "and others",
    "a.k.a.": "also known as", "w/o": "without", "w/": "with", "b/c": "because", "ca.": "about",
    "incl.": "including", "esp.": "especially", "resp.": "respectively", "est.": "established",
    "dept.": "department", "Dept.": "Department", "govt.": "government", "Inc.": "Incorporated",
    "Corp.": "Corporation", "Ltd.": "Limited", "Co.": "Company", "Bros.": "Brothers",
    "Ave.": "Avenue", "Blvd.": "Boulevard", "Rd.": "Road", "Ln.": "Lane", "Pkwy.": "Parkway",
    "Hwy.": "Highway", "Sq.": "Square", "Apt.": "Apartment", "Mt.": "Mount", "Ft.": "Fort",
    "Fig.": "Figure", "Figs.": "Figures", "Vol.": "Volume", "Ch.": "Chapter", "Sec.": "Section",
    "Eq.": "Equation", "min.": "minimum", "max.": "maximum", "avg.": "average", "ASAP": "as soon as possible",
    "FYI": "for your information", "WWW": "W W W", "JSON": "Jason", "IKEA": "Ikea", "GUI": "gooey",
    "YAML": "yammel", "WYSIWYG": "wizzy wig", "MHz": "megahertz", "GHz": "gigahertz", "kHz": "kilohertz",
    "km/h": "kilometers per hour", "kWh": "kilowatt hours",
}  # fmt: skip
_ENDS_SENTENCE = {
    "etc.",
    "Inc.",
    "Corp.",
    "Ltd.",
    "Co.",
    "Bros.",
    "Jr.",
    "Sr.",
    "Ave.",
    "Blvd.",
    "Rd.",
    "et al.",
}
_KNOWN = "|".join(re.escape(name) for name in sorted(_ABBREVIATIONS, key=len, reverse=True))

_ROMAN = re.compile(r"C{0,3}(?:XC|XL|L?X{0,3})(?:IX|IV|V?I{0,3})")
_REGNAL = (
    "Henry|Louis|George|Edward|Charles|Elizabeth|James|William|Richard|Philip|Felipe|Alexander|Nicholas"
    "|Peter|Catherine|Frederick|Wilhelm|Napoleon|Pius|Benedict|Leo|Gregory|John|Paul|Innocent|Clement|Mary"
    "|Ramses|Ramesses|Ptolemy|Cleopatra|Christian|Gustav|Carl|Otto|Alfonso|Ferdinand|Ivan|Constantine|Urban"
    "|King|Queen|Pope|Emperor|Tsar|Franz|Francis|Haakon|Margrethe|Juan Carlos|Xerxes|Darius|Tutankhamun"
)  # fmt: skip
_COUNTED = (
    "[Cc]hapter|[Pp]art|[Vv]olume|[Bb]ook|[Aa]ct|[Ss]cene|[Ss]ection|[Aa]rticle|[Tt]itle|[Pp]hase|[Tt]ype"
    "|[Ll]evel|[Ss]tage|[Cc]lass|[Ee]pisode|[Aa]ppendix|World War|Super Bowl|Final Fantasy|Rocky|Apollo"
    "|Mark|Olympiad|Division|Schedule|Grade|Tier|Vatican|Windows"
)  # fmt: skip
_LETTERED = (
    "[Pp]lan|[Gg]rade|[Vv]itamin|[Ss]ection|[Oo]ption|[Tt]ype|[Hh]epatitis|[Tt]eam|[Gg]roup|[Ee]xhibit"
    "|[Aa]ppendix|[Ss]eries|[Cc]lass|[Ll]etter|[Cc]hoice|[Pp]oint|[Pp]art|[Ss]ide|[Pp]latform|[Tt]erminal"
)  # fmt: skip
_SHORT_WORDS = {
    "KEY",
    "LOG",
    "MAX",
    "MIN",
    "APP",
    "RUN",
    "AGE",
    "OFF",
    "ON",
    "TO",
    "OF",
    "IN",
    "IS",
}
_VALUES = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100}


def roman_value(text: str) -> int:
    """`XIV` as 14."""
    values = [_VALUES[letter] for letter in text]
    following = [*values[1:], 0]
    return sum(
        -value if value < after else value for value, after in zip(values, following, strict=True)
    )


def _is_roman(text: str) -> bool:
    """True for numerals, but not for single letters, as in "Type C"."""
    return text not in {"C", "L"} and _ROMAN.fullmatch(text) is not None


def _abbreviation(match: re.Match[str]) -> str:
    name = match[0]
    is_last = name in _ENDS_SENTENCE and re.match(
        r"[\"')\u201d\u2019]*(?:\s*$|\s+[A-Z])", match.string[match.end() :]
    )
    return _ABBREVIATIONS[name] + ("." if is_last else "")


def _doctor(match: re.Match[str]) -> str:
    """`Dr.` before a name, after one a street."""
    return "Doctor" if _precedes_name(match) else f"Drive{_stop_behind(match)}"


def _saint(match: re.Match[str]) -> str:
    return "Saint" if _precedes_name(match) else f"Street{_stop_behind(match)}"


def _stop_behind(match: re.Match[str]) -> str:
    """The full stop of an abbreviation ends its sentence as well."""
    return "." if match.end() == len(match.string.rstrip()) else ""


def _precedes_name(match: re.Match[str]) -> bool:
    is_behind_name = re.search(r"(?:\d\w*\s)?[A-Z]\w+\s$", match.string[: match.start()])
    is_before_name = re.match(r"\s+[A-Z]", match.string[match.end() :])
    if is_behind_name and re.search(r"\d\w*\s(?:[A-Z]\w+\s)+$", match.string[: match.start()]):
        return False
    return bool(is_before_name)


def _regnal(match: re.Match[str]) -> str:
    if not _is_roman(match["roman"]):
        return match[0]
    return f"{match['name']} the {spell_ordinal(roman_value(match['roman'])).capitalize()}"


def _counted(match: re.Match[str]) -> str:
    if not _is_roman(match["roman"]):
        return match[0]
    return f"{match['name']} {spell(roman_value(match['roman']))}"


def _setting(match: re.Match[str]) -> str:
    """`LLM_BASE_URL` as "L L M base U R L": short parts are letters, long ones words."""
    parts = match[0].split("_")
    is_word = [len(part) > 3 or part in _SHORT_WORDS for part in parts]
    said = zip(parts, is_word, strict=True)
    return " ".join(part.lower() if word else " ".join(part) for part, word in said if part)


RULES: list[Rule] = [
    (re.compile(r"\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b"), _setting),
    (re.compile(r"\bIT(?=\s[a-z])"), "I.T."),
    (re.compile(rf"\b({_LETTERED}) A\b(?!['\u2019.-]\w)"), r"\1-A"),
    (re.compile(r"\bSt\.(?=[\s,]|$)"), _saint),
    (re.compile(r"\bDr\.(?=[\s,]|$)"), _doctor),
    (re.compile(r"\b(?:Nos?\.|\u2116)\s?(?=\d)"), "number "),
    (re.compile(r"(?<![\w&])#\s?(?=\d)"), "number "),
    (re.compile(r"\bpp\.\s?(?=\d)"), "pages "),
    (re.compile(r"\bp\.\s?(?=\d)"), "page "),
    (re.compile(r"\b(?:ext\.|x)\s?(?=\d{2,6}\b)"), "extension "),
    (re.compile(rf"(?<![\w.])(?<!\d\s)(?<!\d)(?:{_KNOWN})(?!\w)"), _abbreviation),
    (
        re.compile(
            rf"\b(?P<name>(?:{_REGNAL})) (?P<roman>[IVXLC]+)\b(?<!\sI(?=\s))(?!['\u2019]|\.\s?[A-Z])"
        ),
        _regnal,
    ),
    (re.compile(rf"\b(?P<name>{_COUNTED}) (?P<roman>[IVXLC]+)\b(?!['\u2019])"), _counted),
]

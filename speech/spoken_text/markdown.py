"""Markdown, HTML, LaTeX and emoji of one clause, made speakable. Pure."""

from __future__ import annotations

import html
import re
import unicodedata

from speech.spoken_text.latex import spoken_latex
from speech.spoken_text.numbers import spell
from speech.spoken_text.rules import Rule, apply

_EMOJI = (
    "[\U0001f000-\U0001faff\u2600-\u27bf\u2b00-\u2bff\u2300-\u23ff\u25a0-\u25ff\u2190-\u21ff"
    "\u200d\u20e3\ufe0e\ufe0f\U000e0000-\U000e007f\u3030\u303d\u3297\u3299]"
)
_EMOJI_RUN = re.compile(_EMOJI + "+")
_ARROW = re.compile(r"(?<=\S)\s*(?:[\u2192\u21d2\u27a1\u279c]\ufe0f?|-{1,2}>|=>)\s*(?=\S)")
_COMMENT = re.compile(r"<!--.*?(?:-->|$)")
_PRODUCT = re.compile(r"(?<=\d)\s*\*\s*(?=\d)|(?<=\b[a-z])\*(?=[a-z]\b)")
_PRONOUNCEABLE = re.compile(r"[^\W_]")
_NO_CONTENT = re.compile(r"\s*(?:[-*_=][\s*_=-]{2,}|\|?[\s:|-]*-{2,}[\s:|-]*|\${2}|\\[\[\]])\s*$")
_BLOCK_MARK = re.compile(
    r"\s*(?:>\s*)*(?:#{1,6}\s+|[-*+\u2022\u2013\u2014]\s+(?:\[[ xX]\]\s+)?)?"
    r"(?:\(?(?P<number>\d{1,3})[.)]\s+)?"
)
_ENDED = re.compile(
    r"[.!?:;,\u2026\u0964\u061f\u3002\uff01\uff1f\uff1b\uff0c\u2014-][\"'\u201d\u2019)\u300d]*$"
)
# Words at the beginning of a sentence between single asterisks: what a character does.
_ACTION = re.compile(r"(?:(?<=^)|(?<=[.!?]\s))\*(?![*\s])[a-z][^*\n]{0,80}\*(?!\*)")

_TAGS = (
    "a|abbr|article|audio|b|big|blockquote|body|br|button|center|cite|code|del|details|dd|div|dl|dt|em"
    "|figure|font|footer|form|h[1-6]|head|header|hr|html|i|img|input|ins|kbd|label|li|link|main|mark"
    "|meta|nav|ol|option|p|pre|q|s|samp|script|section|select|small|span|strike|strong|style|sub"
    "|summary|sup|svg|table|tbody|td|textarea|tfoot|th|thead|title|tr|tt|u|ul|var|video|wbr"
)  # fmt: skip
_KEYCAP = re.compile("^\\s*(\\d)\ufe0f?\u20e3\\s*")
_INLINE: list[Rule] = [
    (re.compile(r"<\|[^|<>]{0,40}\|>"), " "),
    (
        re.compile(r"!?\[(?P<text>[^\[\]]*)\]\([^()\s]*(?:\([^()\s]*\)[^()\s]*)*(?:\s[^()]*)?\)"),
        r"\g<text>",
    ),
    (re.compile(r"<(?P<url>(?:https?://|mailto:)[^<>\s]+|[\w.+-]+@[\w.-]+)>"), r"\g<url>"),
    (re.compile(r"\[\^?\d{1,3}\](?!\()|\u3010[^\u3010\u3011]*\u3011"), ""),
    (re.compile(r"\[(?P<text>[^\[\]]*)\](?:\[[^\[\]]*\])?"), r"\g<text>"),
    (re.compile(rf"</?(?:{_TAGS})(?:\s[^<>]{{0,200}})?/?>", re.IGNORECASE), " "),
    (re.compile(r"<(?P<word>[a-zA-Z][^<>]{0,80})>"), r" \g<word> "),
    (re.compile(r"\\(?P<sign>[\\`*_{}\[\]()#+.!|~>-])"), r"\g<sign>"),
    (re.compile(r"(?<![\w=])==(?=\w)|(?<=\w)==(?!\w)"), ""),
    (re.compile(r"(?<!\w)_+(?=\S)|(?<=\S)_+(?!\w)"), ""),
    (re.compile(r"\*+(?=\S)|(?<=\S)\*+|~~+|`+"), ""),
    (re.compile(r"^\s*\|\s*|\s*\|\s*$"), ""),
    (re.compile(r"(?:\s*\|\s*)+"), ", "),
]


def speakable(clause: str, *, begins_line: bool, ends_line: bool, language: str = "en") -> str:
    """The words of `clause` that a person reading it aloud would say, figures still as figures.

    Empty when there is nothing to say. Lines without a stop get one, so that the voice pauses.
    """
    if begins_line and _NO_CONTENT.match(clause):
        return ""
    text = html.unescape(clause) if "&" in clause else clause
    number = ""
    if begins_line:
        mark = _BLOCK_MARK.match(text := _KEYCAP.sub(r"\1. ", text))
        assert mark is not None
        text = text[mark.end() :]
        number = _list_number(mark["number"], language) if mark["number"] else ""
    text = _inline(text.strip(), language)
    if not _PRONOUNCEABLE.search(text):
        return ""
    if ends_line and not _ENDED.search(text):
        text += "."
    return number + text


def _list_number(figures: str, language: str) -> str:
    """Items are counted aloud, so that people can refer to them."""
    return f"{spell(int(figures)).capitalize()}, " if language == "en" else f"{figures}, "


def _inline(text: str, language: str) -> str:
    text = _ACTION.sub(" ", _COMMENT.sub(" ", text))
    text = spoken_latex(text, language)
    if language == "en":
        text = _PRODUCT.sub(" times ", text)
        text = _ARROW.sub(" to ", text)
    else:
        text = _PRODUCT.sub(" \u00d7 ", text)
    text = apply(_INLINE, text)
    text = re.sub(r"\s+", " ", _EMOJI_RUN.sub(" ", text))
    return re.sub(r"(?<=[^\s:;]) (?=[.,!?;](?:\s|$))", "", text).strip()


def emoji_names(text: str, most: int = 3) -> str:
    """The names of the emoji in `text`, for a reply that is nothing else; empty without any."""
    names: list[str] = []
    for run in _EMOJI_RUN.findall(text):
        for sign in run:
            name = unicodedata.name(sign, "").lower()
            is_part = "variation selector" in name or "joiner" in name or "modifier" in name
            if name and not is_part and name not in names:
                names.append(name)
    return f"{', '.join(names[:most])}." if names else ""

"""Web and mail addresses, file names and handles, as they are said. Pure."""

from __future__ import annotations

import re

from speech.spoken_text.numbers import spell, spell_digits
from speech.spoken_text.rules import Rule

_DOMAINS = (
    "com|org|net|edu|gov|int|info|app|dev|io|ai|co|me|tv"
    "|uk|us|eu|de|fr|es|it|nl|ch|at|jp|cn|in|ca|au"
)
_FILE_ENDINGS = (
    "py|js|ts|tsx|jsx|json|yaml|yml|toml|ini|cfg|env|md|txt|csv|tsv|pdf|docx?|xlsx?|pptx?|html?"
    "|css|xml|sh|c|h|cpp|cc|rs|go|java|rb|php|sql|zip|tar|gz|png|jpe?g|gif|svg|mp3|mp4|wav|ogg"
    "|exe|dll|log|lock"
)
_SIGNS = {
    ".": " dot ",
    "-": " dash ",
    "_": " underscore ",
    "+": " plus ",
    "/": " slash ",
    "~": " tilde ",
}
_SPELLED_DOMAINS = {
    "io",
    "ai",
    "uk",
    "eu",
    "tv",
    "de",
    "fr",
    "es",
    "nl",
    "ch",
    "jp",
    "cn",
    "ca",
    "au",
    "us",
}
_MOST_SEGMENTS = 2
_LONGEST_SEGMENT = 24


def spoken_name(text: str) -> str:
    """Signs by their names, longer figures digit by digit."""
    text = "".join(_SIGNS.get(letter, letter) for letter in text)
    text = re.sub(r"\d+", lambda match: f" {_spoken_figures(match[0])} ", text)
    return re.sub(r"\s+", " ", re.sub(r"[^\w\s']", " ", text)).strip()


def _spoken_figures(figures: str) -> str:
    is_short = len(figures) <= 2 and not figures.startswith("0")
    return spell(int(figures)) if is_short else spell_digits(figures)


def _host(host: str) -> str:
    labels = host.removeprefix("www.").split(".")
    if labels[-1].lower() in _SPELLED_DOMAINS:
        labels[-1] = " ".join(labels[-1].upper())
    return spoken_name(".".join(labels))


def _url(match: re.Match[str]) -> str:
    """The host and a short path; queries and long paths are for the eye."""
    words = _host(match["host"])
    if match["port"]:
        words += f" port {spell_digits(match['port'])}"
    segments = [part for part in re.split(r"/", match["path"] or "") if part]
    if len(segments) > _MOST_SEGMENTS or any(len(part) > _LONGEST_SEGMENT for part in segments):
        segments = []
    return words + "".join(f" slash {spoken_name(part)}" for part in segments)


def _mail(match: re.Match[str]) -> str:
    return f"{spoken_name(match['name'])} at {_host(match['host'])}"


def _path(match: re.Match[str]) -> str:
    return f" {spoken_name(match[0])}"


_HOST = rf"(?:[\w-]+\.)+(?:{_DOMAINS}|[a-z]{{2,12}}(?=[/:]))"
_PATH = (
    r"(?P<path>/[^\s?#<>\"\u201d]*?)?(?:[?#][^\s<>]*?)?"
    r"(?=[.,;:!?)\]\"'\u201d\u2019]*(?:[\s<>]|$|[^\x00-\x7f]))"
)

RULES: list[Rule] = [
    (
        re.compile(
            r"\b(?:mailto:)?(?P<name>[\w.+-]{1,64})@"
            r"(?P<host>(?:[\w-]{1,63}\.){1,8}[A-Za-z]{2,12})\b"
        ),
        _mail,
    ),
    (
        re.compile(
            rf"\b(?:https?|wss?|ftp)://(?P<host>[\w.-]*\w)(?::(?P<port>\d{{1,5}}))?{_PATH}",
            re.IGNORECASE,
        ),
        _url,
    ),
    (
        re.compile(
            rf"(?<![\w.@/])(?P<host>{_HOST}|localhost(?=:))(?::(?P<port>\d{{1,5}}))?(?!\w){_PATH}"
        ),
        _url,
    ),
    (
        re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w]|\.\d)"),
        lambda m: " dot ".join(_spoken_figures(part) for part in m[0].split(".")),
    ),
    (re.compile(rf"(?<![\w.])[\w-]+(?:\.[\w-]+)*\.(?:{_FILE_ENDINGS})\b(?!\.\w)"), _path),
    (re.compile(r"(?<![\w/<.])~?/(?:[\w.+-]+/)*[\w.+-]*[\w+-]/?"), _path),
    (re.compile(r"(?<![\w@])@(?=[a-zA-Z_]\w)"), "at "),
    (re.compile(r"(?<![\w#&])#(?=[a-zA-Z_]\w)"), "hashtag "),
]

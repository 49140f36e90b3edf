"""The user's words prepared for rules. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

from speech.spoken_text.numbers import figures

_FILLERS = re.compile(
    r"^(?:(?:hey|hi|hello|okay|ok|so|well|um|uh|please|now|and|then|oh|alright|right|actually|"
    r"(?:can|could|would|will) you(?: please)?|"
    r"i(?:'d| would) like (?:you )?to|i want (?:you )?to)\b[ ,]*)+(?=\w)"
)


@dataclass(frozen=True)
class Utterance:
    """One question: `raw` as recognised."""

    raw: str

    @cached_property
    def text(self) -> str:
        """Lower case, numbers as figures, no sentence marks."""
        text = figures(self.raw).lower()
        text = text.replace("\u2019", "'").replace(" ' ", "'")
        text = re.sub(r"(?<=\w)\s*'\s*(?=(?:s|t|re|ve|ll|d|m)\b)", "'", text)
        text = re.sub(r"(?<=\d),(?=\d{3}\b)", "", text)
        text = re.sub(r"\b(?:minus|negative) (?=\d)(?<!\d minus )", "-", text)
        text = re.sub(r"[^\w\s'.:%$+*/\u00b0-]", " ", text)
        text = re.sub(r"\.(?!\d)", " ", text)
        return re.sub(r"\s+", " ", text).strip()

    @cached_property
    def core(self) -> str:
        """`text` without polite beginnings ("could you please ...")."""
        return _FILLERS.sub("", self.text).removesuffix(" please").strip()

    @cached_property
    def words(self) -> frozenset[str]:
        """The different words of `text`."""
        return frozenset(re.findall(r"[\w']+", self.text))

    def has(self, pattern: str) -> bool:
        """True if `pattern` occurs in `text` at word borders."""
        return re.search(rf"\b(?:{pattern})\b", self.text) is not None

    def find(self, pattern: str) -> re.Match[str] | None:
        """Search `core`."""
        return re.search(pattern, self.core)

"""Named rules for the words of replies (guardrails). Pure.

Words run ahead of the voice, so that a reply that breaks a rule can be cut before it is heard.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, model_validator

from utils import BoundedDict, named_values

WINDOW_CHARACTERS: Final = 2_000
"""How much of a reply's end is looked at, however long it grows."""

_NAME: Final = r"^[a-z][a-z0-9_-]{0,31}$"
# Replies whose words are kept: several may be generated before the first is heard.
_REMEMBERED: Final = 16
# Lengths of payment card numbers (ISO/IEC 7812).
_CARD_DIGITS: Final = range(13, 20)


def _has_card_number(text: str) -> bool:
    """Return true if a number in the text has the length and check digit of a payment card."""
    runs = re.findall(r"\d(?:[ -]?\d){12,}", text)
    return any(
        len(digits) in _CARD_DIGITS and _is_luhn(digits)
        for digits in (re.sub(r"\D", "", run) for run in runs)
    )


def _is_luhn(digits: str) -> bool:
    doubled = (sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2])
    return (sum(map(int, digits[-1::-2])) + sum(doubled)) % 10 == 0


_KNOWN: Final[dict[str, Callable[[str], bool]]] = {"card_numbers": _has_card_number}


class GuardrailRule(BaseModel):
    """A rule from the server's settings: a regular expression (case-insensitive) or a built-in rule
    by its name.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=_NAME)
    pattern: str | None = Field(default=None, min_length=1)

    @model_validator(mode="after")
    def _check(self) -> GuardrailRule:
        if self.pattern is None and self.name not in _KNOWN:
            raise ValueError(f"{self.name}: need name=regex, or one of {', '.join(_KNOWN)}")
        try:
            re.compile(self.pattern or "")
        except re.error as error:
            raise ValueError(f"{self.name}: not a regular expression ({error})") from None
        return self

    def is_broken_by(self, text: str) -> bool:
        """Return true if the text breaks the rule."""
        if self.pattern is None:
            return _KNOWN[self.name](text)
        return re.search(self.pattern, text, re.IGNORECASE) is not None


def parse_guardrails(text: str) -> tuple[GuardrailRule, ...]:
    """Parse `name` or `name=regex` entries, separated by semicolons or line ends.

    Raises:
        ValueError: an entry is invalid; the text names it.
    """
    return tuple(GuardrailRule(name=name, pattern=pattern) for name, pattern in named_values(text))


class Guardrail:
    """Checks the growing words of replies, by item id. Reports at most one broken rule per item."""

    def __init__(self, rules: Iterable[GuardrailRule]) -> None:
        self._rules = tuple(rules)
        self._words: BoundedDict[str, str] = BoundedDict(_REMEMBERED)
        self._tripped: BoundedDict[str, None] = BoundedDict(_REMEMBERED)

    def append(self, item_id: str, delta: str) -> GuardrailRule | None:
        """Append words of a reply; return the first rule that its words now break, if any."""
        return self._check(item_id, self._words.get(item_id, "") + delta)

    def finish(self, item_id: str, text: str) -> GuardrailRule | None:
        """Check the complete words of a reply, for providers that send no deltas."""
        return self._check(item_id, text)

    def _check(self, item_id: str, text: str) -> GuardrailRule | None:
        self._words[item_id] = text[-WINDOW_CHARACTERS:]
        if item_id in self._tripped:
            return None
        for rule in self._rules:
            if rule.is_broken_by(self._words[item_id]):
                self._tripped[item_id] = None
                return rule
        return None

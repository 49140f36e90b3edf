"""What the agent must not say: named rules over the growing words of each reply. Pure.

Words run ahead of the voice, so that a reply that breaks a rule can be cut before it is heard.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, model_validator

WINDOW_CHARACTERS: Final = 2_000
"""How much of a reply's end is looked at, however long it grows."""

_NAME: Final = r"^[a-z][a-z0-9_-]{0,31}$"
_REMEMBERED: Final = 16
_CARD_DIGITS: Final = range(13, 20)


def _has_card_number(text: str) -> bool:
    """Whether a number in the text has the length and the check digit of a payment card."""
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
    """A rule of the server's owner: a regular expression (case does not matter), or one we know."""

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
        """Whether these words must not be said."""
        if self.pattern is None:
            return _KNOWN[self.name](text)
        return re.search(self.pattern, text, re.IGNORECASE) is not None


def parse_guardrails(text: str) -> tuple[GuardrailRule, ...]:
    """The rules of `name` or `name=regex` entries, separated by semicolons or line ends.

    Raises:
        ValueError: saying which rule is wrong.
    """
    entries = [entry.partition("=") for entry in re.split(r"[;\n]", text) if entry.strip()]
    return tuple(
        GuardrailRule(name=name.strip(), pattern=pattern.strip() if equals else None)
        for name, equals, pattern in entries
    )


class Guardrail:
    """Follows replies by their item id. A broken rule is told once an item."""

    def __init__(self, rules: Iterable[GuardrailRule]) -> None:
        self._rules = tuple(rules)
        self._words: OrderedDict[str, str] = OrderedDict()
        self._tripped: OrderedDict[str, None] = OrderedDict()

    def hear(self, item_id: str, delta: str) -> GuardrailRule | None:
        """The reply goes on with these words; the first rule that it breaks by now."""
        return self._check(item_id, self._words.get(item_id, "") + delta)

    def finish(self, item_id: str, text: str) -> GuardrailRule | None:
        """All words of the reply, for providers that do not tell them piece by piece."""
        return self._check(item_id, text)

    def _check(self, item_id: str, text: str) -> GuardrailRule | None:
        self._words[item_id] = text[-WINDOW_CHARACTERS:]
        if item_id in self._tripped:
            return None
        for rule in self._rules:
            if rule.is_broken_by(self._words[item_id]):
                self._tripped[item_id] = None
                _trim(self._tripped)
                return rule
        _trim(self._words)
        return None


def _trim(items: OrderedDict[str, str] | OrderedDict[str, None]) -> None:
    while len(items) > _REMEMBERED:
        items.popitem(last=False)

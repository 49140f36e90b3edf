"""What is wrong with foreign input, as far as it is worth saying. The input is never repeated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydantic import ValidationError

MAX_FAULTS: Final = 10
"""That one answer names."""

MAX_LISTED: Final = 200
"""Of more faults only the number is told: pydantic can list all of them or none, and what lists a
hundred thousand stops everybody else for as long.
"""

MAX_VALUES: Final = 20_000
"""Numbers, texts, lists and objects in one document, before anybody looks at it closer."""


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong. kind: pydantic's word for it."""

    place: tuple[int | str, ...]
    text: str
    kind: str

    @property
    def field(self) -> str:
        """The place, its steps joined by dots; empty for the whole."""
        return ".".join(str(step) for step in self.place)


def faults_of(error: ValidationError, limit: int = MAX_FAULTS) -> list[Fault]:
    """The first ones, `limit` at most and one at least; cheap however many there are."""
    count = error.error_count()
    if count > MAX_LISTED:
        return [Fault((), f"{count} values are wrong, too many to name", "too_many_faults")]
    listed = error.errors(include_input=False, include_url=False, include_context=False)
    return [Fault(one["loc"], one["msg"], one["type"]) for one in listed[:limit]]


def first_fault(error: ValidationError) -> Fault:
    """The first one."""
    return faults_of(error, 1)[0]


def has_many_values(document: Any, limit: int = MAX_VALUES) -> bool:
    """Whether a JSON document has more than `limit` values; looks at no more than that."""
    left = limit
    waiting: list[Sequence[Any]] = [[document]]
    while waiting:
        values = waiting.pop()
        left -= len(values)
        if left < 0:
            return True
        for value in values:
            if isinstance(value, dict):
                waiting.append(list(value.values()))
            elif isinstance(value, list):
                waiting.append(value)
    return False

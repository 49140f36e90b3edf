"""Validation errors of foreign input, in a bounded form that never repeats the input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydantic import ValidationError

MAX_FAULTS: Final = 10
"""Faults named in one answer."""

MAX_LISTED: Final = 200
"""Past it only the number of faults is reported: pydantic lists all or none, and listing a hundred
thousand would block the event loop.
"""

MAX_VALUES: Final = 20_000
"""Limit on the values in one document, checked before validation."""


@dataclass(frozen=True)
class Fault:
    """One fault. place: pydantic's `loc`; text: its `msg`; kind: its `type`."""

    place: tuple[int | str, ...]
    text: str
    kind: str

    @property
    def field(self) -> str:
        """The place joined by dots; empty for the whole document."""
        return ".".join(str(step) for step in self.place)


def faults_of(error: ValidationError, limit: int = MAX_FAULTS) -> list[Fault]:
    """Return the first faults, from one to `limit`; cheap for any number of faults."""
    count = error.error_count()
    if count > MAX_LISTED:
        return [Fault((), f"{count} values are wrong, too many to name", "too_many_faults")]
    listed = error.errors(include_input=False, include_url=False, include_context=False)
    return [Fault(one["loc"], one["msg"], one["type"]) for one in listed[:limit]]


def first_fault(error: ValidationError) -> Fault:
    """Return the first fault."""
    return faults_of(error, 1)[0]


def first_validation_error(
    error: ValidationError, *, whole: str = "", within: Sequence[str] = ()
) -> str:
    """Return the first fault as `field: text`, without the input.

    Args:
        whole: stands for the field when the fault is of the whole document.
        within: names that precede the field.
    """
    fault = first_fault(error)
    field = ".".join([*within, *(str(step) for step in fault.place)]) or whole
    return f"{field}: {fault.text}" if field else fault.text


def has_many_values(document: Any, limit: int = MAX_VALUES) -> bool:
    """Return true if a JSON document has more than `limit` values; visits at most that many."""
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

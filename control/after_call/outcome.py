"""Answers of a language model with what they took. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar

T = TypeVar("T")
U = TypeVar("U")


class NoAnswerError(Exception):
    """There is no answer; the text is one line for the record. is_passing: later there may be one"""

    def __init__(self, message: str, *, is_passing: bool = False) -> None:
        super().__init__(message)
        self.is_passing = is_passing


@dataclass(frozen=True, slots=True)
class Answer(Generic[T]):
    """An answer, the model that gave it, and the tokens of all requests that it took."""

    value: T = field(repr=False)
    model: str = ""
    input_tokens: int = 0
    output_tokens: int = 0

    def of(self, value: U) -> Answer[U]:
        """Return an answer of this value that took the same."""
        return Answer(value, self.model, self.input_tokens, self.output_tokens)

    def plus(self, other: Answer[Any]) -> Answer[T]:
        """Return the answer with what another request took added."""
        return replace(
            self,
            model=other.model or self.model,
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
        )

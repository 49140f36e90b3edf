"""Kinds of values in scenario files."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

MAX_TEXT: Final = 8_000


class Part(BaseModel):
    """Part of a scenario; unknown fields are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def check_regex(pattern: str) -> str:
    """Refuse what is no regular expression."""
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"no regular expression: {error}") from error
    return pattern


def as_list(value: Any) -> Any:
    """Let a bare text stand for a list of it."""
    return [value] if isinstance(value, str) else value


Text = Annotated[str, Field(min_length=1, max_length=MAX_TEXT)]
Texts = Annotated[tuple[Text, ...], BeforeValidator(as_list)]
Regex = Annotated[Text, AfterValidator(check_regex)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
Milliseconds = Annotated[float, Field(gt=0, le=600_000)]
Seconds = Annotated[float, Field(gt=0, le=600)]
Share = Annotated[float, Field(ge=0, le=1)]


def named(name: str) -> BeforeValidator:
    """Let a bare value stand for an object with this field alone."""
    return BeforeValidator(lambda value: value if isinstance(value, Mapping) else {name: value})

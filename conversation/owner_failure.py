"""`OwnerFailure`: a failure in an owner's code, as the record of the call has it. Pure."""

from __future__ import annotations

from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field

MAX_MESSAGE_CHARACTERS: Final = 500
MAX_FAILURES: Final = 100
"""Failures that a call's record keeps: the latest."""

OwnerSource = Literal[
    "hook", "guardrail", "tool", "instructions", "task", "state", "handoff", "moderator"
]


class OwnerFailure(BaseModel):
    """A function of the owner raised, took too long, or returned what it must not.

    source: kind of code; name: of the function; place: `file.py:line` in the owner's code
    message: class and text of the error, which may hold words of the call
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: OwnerSource
    name: str
    message: str = Field(repr=False)
    place: str = ""
    at_ms: int = Field(description="Unix time in milliseconds")

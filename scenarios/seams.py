"""Protocols of what a run asks of others: opinions of a judge, and the words of a persona."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from scenarios.expected import JudgeExpectation
from scenarios.format import Persona
from scenarios.results import TurnResult


@dataclass(frozen=True)
class Opinion:
    """A judge's. score: from 0 to 1; reason: in one or two sentences"""

    score: float
    reason: str


@dataclass(frozen=True)
class Line:
    """Something that was said. speaker: `agent`, or the person's name; text: as it was heard"""

    speaker: str
    text: str


class Judge(Protocol):
    """Judges a conversation, or a turn of it, by a rubric."""

    async def judge(self, expectation: JudgeExpectation, turns: Sequence[TurnResult]) -> Opinion:
        """Return the opinion.

        Raises:
            ScenarioError: There is none to be had, for a reason that the text names.
        """
        ...


class PersonaCaller(Protocol):
    """Makes up what a persona says."""

    async def next_words(self, persona: Persona, lines: Sequence[Line]) -> str | None:
        """Return the next words; None: the persona has what they want, or gives up.

        Raises:
            ScenarioError: There are none to be had, for a reason that the text names.
        """
        ...

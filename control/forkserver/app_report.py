"""`AppReport`: what a forkserver reports to the server about the app that it has loaded."""

from __future__ import annotations

from typing import Final

from pydantic import BaseModel, ConfigDict, Field

from config.definition import Definition
from parley.description import MAX_DESCRIPTION_BYTES
from parley.load_problem import Problem

MAX_REPORT_BYTES: Final = 2 * MAX_DESCRIPTION_BYTES


class AppReport(BaseModel):
    """An app's agents, or its problems.

    files: of the owner's modules that were loaded
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    agents: tuple[Definition, ...] = ()
    problems: tuple[Problem, ...] = Field(default=(), max_length=100)
    files: tuple[str, ...] = ()

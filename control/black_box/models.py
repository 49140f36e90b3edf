"""What a black box holds, as it is stored and shown."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from control.placement import ExitRecord
from conversation.lifecycle import AgentState


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True)


class StateStep(_Part):
    """The agent stepped to `state`. process: how many were lost before this one"""

    state: AgentState
    at_ms: int = Field(description="Unix time in milliseconds")
    process: int


class SeenEvent(_Part):
    """What the agent told its room, without what it said; equal ones in a row are counted."""

    type: str
    at_ms: int = Field(description="of the first, Unix time in milliseconds")
    count: int = 1
    marks: dict[str, str] = Field(default={}, description="ids, and words of programs")
    characters: int = Field(default=0, description="length of all its texts together")


class Noticed(_Part):
    """A sign of trouble and what was done about it."""

    sign: str
    action: str
    text: str
    at_ms: int


class ResourceSample(_Part):
    """The worst of the time up to `at_ms`; None: not known."""

    at_ms: int
    private_bytes: int | None = None
    pss_bytes: int | None = None
    descriptors: int | None = None
    loop_lag_ms: float | None = None


class BlackBox(_Part):
    """One call, from its first process to the end of its last."""

    states: tuple[StateStep, ...] = ()
    exits: tuple[ExitRecord, ...] = Field(default=(), description="of each process, with stacks")
    noticed: tuple[Noticed, ...] = ()
    events: tuple[SeenEvent, ...] = Field(default=(), description="the last ones")
    forgotten_events: int = Field(default=0, description="older ones that gave way")
    curve: tuple[ResourceSample, ...] = Field(default=(), description="memory and lag over time")

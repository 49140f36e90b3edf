"""Contents of a black box, as stored and returned by the API."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from control.placement import ExitRecord
from conversation.lifecycle import AgentState
from conversation.owner_failure import OwnerFailure


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True)


class StateStep(_Part):
    """The agent entered `state`. process: number of processes lost before this one."""

    state: AgentState
    at_ms: int = Field(description="Unix time in milliseconds")
    process: int


class SeenEvent(_Part):
    """An event that the agent sent, without its words; equal ones in a row are counted."""

    type: str
    at_ms: int = Field(description="of the first, Unix time in milliseconds")
    count: int = 1
    marks: dict[str, str] = Field(default={}, description="ids and machine-readable words")
    characters: int = Field(default=0, description="total length of its texts")


class Noticed(_Part):
    """A finding of the health monitor and the action taken."""

    sign: str
    action: str
    text: str
    at_ms: int


class ResourceSample(_Part):
    """Maxima of the step that ends at `at_ms`; None: unknown."""

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
    events: tuple[SeenEvent, ...] = Field(default=(), description="the latest events")
    owner_errors: tuple[OwnerFailure, ...] = Field(
        default=(), description="the latest failures in the owner's code, with file and line"
    )
    forgotten_events: int = Field(default=0, description="number of older events dropped")
    curve: tuple[ResourceSample, ...] = Field(default=(), description="memory and lag over time")

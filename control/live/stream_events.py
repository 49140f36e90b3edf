"""What an event stream tells beside what its agent tells the room (`conversation.server_events`)."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from control.placement import ExitRecord
from conversation.lifecycle import AgentState, ExitReason


class _StreamEvent(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class AgentStateChanged(_StreamEvent):
    """The agent stepped to `state`; `at_ms` is Unix time."""

    type: Literal["agent_state_changed"] = "agent_state_changed"
    agent_id: str
    channel_name: str
    state: AgentState
    at_ms: int


class AgentExited(_StreamEvent):
    """A process of the agent is gone. `is_restarted`: another one goes on with the call; else the
    stream ends with this event.
    """

    type: Literal["agent_exited"] = "agent_exited"
    agent_id: str
    channel_name: str
    exit_reason: ExitReason
    exit_code: int | None
    is_restarted: bool
    uptime_s: float
    at_ms: int
    error: str | None

    @classmethod
    def of(cls, record: ExitRecord) -> AgentExited:
        """The event of this end."""
        fields = {name: getattr(record, name) for name in set(cls.model_fields) - {"type", "at_ms"}}
        return cls(at_ms=record.ended_at_ms, **fields)


class StreamGap(_StreamEvent):
    """Events between the last one that you had and the next one here are forgotten.

    missed: how many; null when your last one was of another call
    """

    type: Literal["stream_gap"] = "stream_gap"
    missed: int | None = Field(ge=1)

"""Events of an event stream beside the agent's own (`conversation.events.server_events`)."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from control.placement import ExitRecord
from conversation.lifecycle import AgentState, ExitReason


class _StreamEvent(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class AgentStateChanged(_StreamEvent):
    """The agent entered `state`; `at_ms` is Unix time."""

    type: Literal["agent_state_changed"] = "agent_state_changed"
    agent_id: str
    channel_name: str
    state: AgentState
    at_ms: int


class AgentExited(_StreamEvent):
    """A process of the agent ended. `is_restarted`: another process continues the call; otherwise
    the stream ends with this event.
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
        """Return the event for this exit."""
        fields = {name: getattr(record, name) for name in set(cls.model_fields) - {"type", "at_ms"}}
        return cls(at_ms=record.ended_at_ms, **fields)


class StreamGap(_StreamEvent):
    """Events between the reader's last one and the next one here were dropped.

    missed: their number; null if the reader's last event belongs to another call
    """

    type: Literal["stream_gap"] = "stream_gap"
    missed: int | None = Field(ge=1)

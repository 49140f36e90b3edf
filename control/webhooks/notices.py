"""What webhooks tell: the steps of agents' lives, without anybody's words. Pure."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from conversation.lifecycle import ExitReason

Kind = Literal["agent.started", "agent.ready", "agent.in_call", "agent.restarting", "agent.exited"]


class NoticeData(BaseModel):
    """About which agent; the rest is there where it applies."""

    model_config = ConfigDict(frozen=True)

    channel_name: str
    agent_id: str
    uid: int
    timings_ms: dict[str, float] | None = Field(default=None, description="agent.ready")
    exit_reason: ExitReason | None = None
    exit_code: int | None = None
    error: str | None = None
    uptime_s: float | None = None


class Notice(BaseModel):
    """The body of a delivery.

    type: started; ready (again after each restart); in_call: somebody is there; restarting: a
        process was lost, another one goes on; exited: the end
    timestamp: ISO 8601, when it happened
    """

    model_config = ConfigDict(frozen=True)

    type: Kind
    timestamp: str
    data: NoticeData

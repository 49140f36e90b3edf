"""How a call is, as its agent sees it: whether people, media and model are still with it."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Vitals(BaseModel):
    """A moment of one call. Ages are in seconds, None where it never happened."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    users: int = Field(default=0, description="people in the room")
    connected_users: int = Field(default=0, description="of them, with media to the agent")
    inbound_age_s: float | None = Field(default=None, description="since the last RTP packet")
    packets_sent: int = Field(default=0, description="packets of voice made so far")
    is_speaking: bool = Field(default=False, description="voice waits to be sent")
    model_event_age_s: float | None = Field(
        default=None, description="since the provider last said anything"
    )
    tokens: int = Field(default=0, description="that all replies took so far")
    cost: float = Field(default=0.0, description="of those, by MODEL_PRICES")
    recording: Literal["off", "on", "incomplete"] = Field(
        default="off", description="incomplete: something that was said is missing"
    )
    unanswered_s: float | None = Field(
        default=None, description="since somebody said something that nothing has answered yet"
    )

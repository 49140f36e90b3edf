"""How a call is, as its agent sees it: whether people, media and model are still with it."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class MediaCounts(BaseModel):
    """What an agent process has counted of its media since it started, everybody's together."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    packets_received: int = 0
    packets_lost: int = 0
    packets_late: int = Field(default=0, description="came after their place was made good")
    packets_corrupt: int = 0
    frames_recovered: int = Field(default=0, description="rebuilt from the packet after them")
    frames_concealed: int = Field(default=0, description="made up from what was before")
    frames_filled: int = Field(default=0, description="made up while nothing came")
    frames_dropped: int = Field(default=0, description="left out, to bound delay or memory")
    packets_sent: int = 0
    underruns: int = Field(default=0, description="the voice had to wait for the model")
    playout_stalls: int = Field(default=0, description="the agent's own clock was late")


class InputFailures(BaseModel):
    """What an agent process has contained since it started: inputs whose handling failed in a way
    that it has no words for. Each cost that input alone.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    client_event: int = Field(default=0, description="from a data channel")
    provider_event: int = 0
    tool: int = Field(default=0, description="a tool's own code failed, or its result")
    command: int = Field(default=0, description="of the agent's owner")
    chat: int = 0
    room_event: int = Field(default=0, description="somebody came or went, a voice began or ended")
    hook: int = Field(default=0, description="whoever is told what happens, or runs a tool's task")
    internal: int = Field(default=0, description="a step of a watch of ours")


class Vitals(BaseModel):
    """A moment of one call. Ages are in seconds, None where it never happened."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    users: int = Field(default=0, description="people in the room")
    connected_users: int = Field(default=0, description="of them, with media to the agent")
    inbound_age_s: float | None = Field(default=None, description="since the last RTP packet")
    packets_sent: int = Field(default=0, description="packets of voice made so far")
    media: MediaCounts = MediaCounts()
    input_failures: InputFailures = InputFailures()
    jitter_delay_ms: float | None = Field(
        default=None, description="by which a voice is held back against jitter, the largest"
    )
    heard_after_ms: float | None = Field(
        default=None, description="from leaving here to being heard, the longest known"
    )
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

"""Vitals of a call as its agent measures them: users, media, model."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class MediaCounts(BaseModel):
    """Media counters of an agent process since its start, all participants together."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    packets_received: int = 0
    packets_lost: int = 0
    packets_late: int = Field(default=0, description="came after they had been concealed")
    packets_corrupt: int = 0
    frames_recovered: int = Field(default=0, description="rebuilt from the packet after them")
    frames_concealed: int = Field(default=0, description="concealed from earlier audio")
    frames_filled: int = Field(default=0, description="filled while no packet came")
    frames_dropped: int = Field(default=0, description="dropped to bound delay or memory")
    packets_sent: int = 0
    underruns: int = Field(default=0, description="playout had to wait for the model")
    playout_stalls: int = Field(default=0, description="the agent's own clock was late")


class InputFailures(BaseModel):
    """Inputs whose handling failed unexpectedly since the start of the process. Each cost that
    input alone.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    client_event: int = Field(default=0, description="from a data channel")
    provider_event: int = 0
    tool: int = Field(default=0, description="a tool's own code failed, or its result")
    command: int = Field(default=0, description="over the API")
    chat: int = 0
    room_event: int = Field(
        default=0, description="a participant joined or left, a voice began or ended"
    )
    hook: int = Field(default=0, description="an observer of events, or a task started by a tool")
    internal: int = Field(default=0, description="a periodic check of the agent")


class Vitals(BaseModel):
    """State of one call at one moment. Ages are in seconds; None: it never happened."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    users: int = Field(default=0, description="users in the room")
    connected_users: int = Field(default=0, description="users with media to the agent")
    inbound_age_s: float | None = Field(default=None, description="since the last RTP packet")
    packets_sent: int = Field(default=0, description="packets of the agent's voice")
    media: MediaCounts = MediaCounts()
    input_failures: InputFailures = InputFailures()
    jitter_delay_ms: float | None = Field(
        default=None, description="jitter buffer delay, the largest of all users"
    )
    heard_after_ms: float | None = Field(
        default=None, description="time from sending to being heard, the longest of all listeners"
    )
    is_speaking: bool = Field(default=False, description="audio waits to be sent")
    model_event_age_s: float | None = Field(
        default=None, description="since the last event of the provider"
    )
    tokens: int = Field(default=0, description="of all replies so far")
    cost: float = Field(default=0.0, description="of all replies so far, by MODEL_PRICES")
    recording: Literal["off", "on", "incomplete"] = Field(
        default="off", description="incomplete: part of the audio is missing"
    )
    is_saving_work: bool = Field(
        default=False, description="silence is taken in larger batches: the processors are busy"
    )
    unanswered_s: float | None = Field(
        default=None, description="since the first words of a user that no reply has answered yet"
    )

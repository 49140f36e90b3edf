"""Parts of events in both directions (`server_events`, `client_events`).

The same JSON travels over the data channel, the WebSocket bridge and server-sent events. Every
event names itself in `type`; audio and images are base64 text inside JSON only.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class AudioFormat(BaseModel):
    """Encoding of audio inside an event: PCM16 little-endian mono at `rate` Hz."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Literal["audio/pcm"] = "audio/pcm"
    rate: int = Field(ge=8_000, le=48_000)


class ToolUse(BaseModel):
    """A tool call as the model asked for it; `input` is empty until the arguments are complete."""

    model_config = ConfigDict(frozen=True)

    type: Literal["tool_use"] = "tool_use"
    id: str
    name: str
    input: dict[str, Any] = Field(default_factory=dict)


class GrowingToolUse(ToolUse):
    """A tool call that the model has not written to its end: `raw_input` is the JSON text so far."""

    raw_input: str


class ToolResult(BaseModel):
    """Output of a tool as the model got it."""

    model_config = ConfigDict(frozen=True)

    type: Literal["tool_result"] = "tool_result"
    id: str
    name: str
    output: str
    is_error: bool = False


class Event(BaseModel):
    """Base of all events: frozen, without unknown fields."""

    model_config = ConfigDict(extra="forbid", frozen=True)

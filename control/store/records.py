"""What the store holds, as the rest of the server and its API see it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from control.black_box.models import BlackBox
from conversation.lifecycle import AgentState, ExitReason
from conversation.remembered import RememberedCall, RememberedText
from conversation.turn_timings import TurnTimings


class _Stored(BaseModel):
    model_config = ConfigDict(frozen=True)


class Usage(_Stored):
    """What the providers counted."""

    replies: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: float = Field(default=0.0, description="by MODEL_PRICES, as of the last heartbeat")


class CallRecord(_Stored):
    """One call: an agent from its first process to the end of its last."""

    call_id: str = Field(description="the agent's id")
    thread_id: str = Field(description="the conversation; a later call may continue it")
    channel_name: str
    uid: int
    provider: str
    model: str
    language: str
    started_at_ms: int = Field(description="Unix time in milliseconds")
    updated_at_ms: int = Field(description="when anything of the call was last heard of")
    ended_at_ms: int | None = Field(default=None, description="null while it goes on")
    state: AgentState
    exit_reason: ExitReason | None = None
    exit_code: int | None = None
    error: str | None = Field(default=None, description="why it never became ready, or was ended")
    restarts: int = Field(default=0, description="processes that were lost")
    timings_ms: dict[str, float] = Field(default={}, description="each phase of the start")
    usage: Usage = Usage()


class CallTurn(TurnTimings):
    """process: how many were lost before the one that counted this turn"""

    process: int
    at_ms: int = Field(description="Unix time in milliseconds")


class CallDetails(CallRecord):
    """A call with all that helps to understand it."""

    turns: list[CallTurn]
    black_box: BlackBox


class CallPage(_Stored):
    """Calls, the latest first. next: the cursor of the page that follows; null: there is none."""

    calls: list[CallRecord]
    next: str | None


class _Entry(_Stored):
    at_ms: int = Field(description="when it was first told, Unix time in milliseconds")


class TextEntry(RememberedText, _Entry):
    """Words; of a reply what was heard. `is_open`: it is still being made or played."""


class ToolEntry(RememberedCall, _Entry):
    """A tool call; `output` is null until it answered."""


TranscriptEntry = Annotated[TextEntry | ToolEntry, Field(discriminator="type")]


class Transcript(_Stored):
    """What was said in a call; `number` counts from the beginning of the thread."""

    call_id: str
    thread_id: str
    channel_name: str
    is_live: bool
    entries: list[TranscriptEntry]


class CallDeleted(_Stored):
    """Nothing of the call is left, its recording included."""

    status: Literal["Call deleted"] = "Call deleted"
    call_id: str

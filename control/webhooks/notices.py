"""Webhook bodies: lifecycle events of agents, without words of the call but the summary of a transfer;
and notices of a call's content, which the owner asks for by `WEBHOOK_EVENTS`. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, SerializeAsAny

from config.notices import NoticeKind
from control.store.records import Extraction, Summary, TranscriptEntry, Usage
from conversation.lifecycle import ExitReason

MAX_TEXT_CHARACTERS: Final = 32_000
"""Of the arguments, the result and the error of one tool call."""

MAX_TRANSCRIPT_CHARACTERS: Final = 256_000
"""Of all entries of a transcript; the oldest are left out first."""

_ENTRY_CHARACTERS: Final = 200
"""Beside its texts, an upper bound."""


class AgentData(BaseModel):
    """The agent that a notice is about."""

    model_config = ConfigDict(frozen=True)

    channel_name: str
    agent_id: str
    uid: int


class NoticeData(AgentData):
    """The agent, and the fields of this kind of notice."""

    timings_ms: dict[str, float] | None = Field(default=None, description="agent.ready")
    exit_reason: ExitReason | None = None
    exit_code: int | None = None
    error: str | None = None
    uptime_s: float | None = None
    target: str | None = Field(default=None, description="who shall take over, as the agent put it")
    summary: str | None = Field(default=None, repr=False)
    person_uid: int | None = Field(default=None, description="uid with which the person joins")
    room_token: str | None = Field(default=None, repr=False, description="for the person")


class ToolCallData(AgentData):
    """A tool call and its outcome.

    arguments: JSON object; JSON text if it was cut
    state: done; failed; lost: the process ended before there was a result
    server_label: tool server of the provider, which calls the tool by itself
    duration_ms: from the call to its result, an approval included
    cut: fields of which the end is missing
    """

    tool_call_id: str
    name: str
    server_label: str | None = None
    arguments: dict[str, Any] | str = Field(repr=False)
    state: Literal["done", "failed", "lost"]
    result: str | None = Field(default=None, repr=False)
    error: str | None = Field(default=None, repr=False)
    duration_ms: int
    cut: tuple[str, ...] = ()


class CallData(AgentData):
    """A call that is over. team: that started it, with named keys"""

    thread_id: str
    team: str | None = None


class TranscriptData(CallData):
    """The transcript as heard. left_out: number of oldest entries that are missing"""

    entries: tuple[TranscriptEntry, ...] = Field(repr=False)
    left_out: int = 0


class UsageData(CallData):
    """Figures of a call."""

    provider: str
    model: str
    started_at_ms: int
    ended_at_ms: int
    duration_s: float
    exit_reason: ExitReason | None
    restarts: int
    usage: Usage


class RecordingData(CallData):
    """A recording that can be fetched. path: of the control API, with its key"""

    path: str
    content_type: Literal["audio/wav"] = "audio/wav"
    duration_s: float
    bytes: int


class SummaryData(CallData):
    """The summary, or why there is none."""

    summary: Summary


class ExtractionData(CallData):
    """The extracted data, or why there are none."""

    extraction: Extraction


class Notice(BaseModel):
    """The body of a delivery.

    type: started; ready (again after each restart); in_call: a user has joined;
        transfer_requested: a person shall take over; transferred: that person has joined;
        restarting: a process was lost, another one continues; exited: the end; and of a call's
        content `config.notices.ContentKind`
    timestamp: ISO 8601, when it happened; later ones of a server are greater
    """

    model_config = ConfigDict(frozen=True)

    type: NoticeKind
    timestamp: str
    data: SerializeAsAny[AgentData]


def kept_entries(entries: Sequence[TranscriptEntry]) -> tuple[TranscriptEntry, ...]:
    """Return the last of these entries that one notice may hold."""
    characters = 0
    for index in range(len(entries) - 1, -1, -1):
        entry = entries[index]
        texts = (
            (entry.text, entry.unheard)
            if entry.type == "text"
            else (entry.arguments, entry.output or "")
        )
        characters += _ENTRY_CHARACTERS + sum(map(len, texts))
        if characters > MAX_TRANSCRIPT_CHARACTERS:
            return tuple(entries[index + 1 :])
    return tuple(entries)

"""Stored records, as the rest of the server and the API see them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from config.agent import team_key
from control.black_box.models import BlackBox
from conversation.lifecycle import AgentState, ExitReason
from conversation.snapshot import SnapshotText, SnapshotToolCall
from conversation.turn_timings import TurnTimings

AnalysisKind = Literal["summary", "extraction"]


class _Stored(BaseModel):
    model_config = ConfigDict(frozen=True)


class Usage(_Stored):
    """Usage that the providers counted."""

    replies: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: float = Field(default=0.0, description="by MODEL_PRICES, as of the last heartbeat")


class CallRecord(_Stored):
    """One call: an agent from its first process to the end of its last."""

    call_id: str = Field(description="the agent's id")
    thread_id: str = Field(description="the conversation; a later call may continue it")
    team: str = Field(default="", description="of the key that started it; empty for none")
    key: str = Field(default="", description="name of the API key that started it")
    channel_name: str
    person_id: str = Field(default="", description="the person of the start; empty: none was named")
    agent: str = Field(
        default="",
        description="agent of the server's app; those of a chat room are joined by +; empty: none",
    )
    uid: int
    provider: str
    model: str
    language: str
    started_at_ms: int = Field(description="Unix time in milliseconds")
    updated_at_ms: int = Field(description="last update of the call")
    ended_at_ms: int | None = Field(default=None, description="null while the call is live")
    state: AgentState
    exit_reason: ExitReason | None = None
    exit_code: int | None = None
    error: str | None = Field(default=None, description="reason of a failed start or a forced end")
    restarts: int = Field(default=0, description="number of processes lost")
    timings_ms: dict[str, float] = Field(default={}, description="each phase of the start")
    usage: Usage = Usage()
    has_recording: bool = Field(
        default=False, description="there is a recording of it now; answered, never stored"
    )

    @property
    def thread_key(self) -> str:
        """Name of the conversation in the store."""
        return team_key(self.team, self.thread_id)


class CallTurn(TurnTimings):
    """Timings of a turn. process: number of processes lost before the one that measured it."""

    process: int
    at_ms: int = Field(description="Unix time in milliseconds")


class Analysis(_Stored):
    """Work of a language model on the transcript of a call that is over.

    state: pending also while the call is live
    """

    state: Literal["pending", "done", "failed"] = "pending"
    reason: str | None = Field(default=None, description="why it failed")
    at_ms: int = Field(description="since when it is in this state, Unix time in milliseconds")
    model: str | None = Field(default=None, description="the language model that answered")
    input_tokens: int = 0
    output_tokens: int = 0


class Summary(Analysis):
    """A summary of the call."""

    text: str | None = Field(default=None, repr=False)


class Extraction(Analysis):
    """Data by the JSON schema that the start, or its agent, names as `extract`."""

    value: dict[str, Any] | None = Field(default=None, repr=False)


MarkKind = Literal[
    "interrupted",
    "false_alarm",
    "tool_call",
    "tool_result",
    "approval",
    "transfer",
    "state",
    "pause",
    "overlap",
]


class CallMark(_Stored):
    """Something that happened in a call, for its timeline; never words of what was said."""

    at_ms: int
    kind: MarkKind = Field(
        description="interrupted: the user stopped a reply; false_alarm: a sound was no interruption; "
        "approval: a tool asks for one; state: of the agent, or of its connection to the model; "
        "pause: nobody spoke for over 2 s; overlap: both voices at once"
    )
    text: str | None = Field(
        default=None, description="name of tool, state, cause or target, if the kind has one"
    )
    duration_ms: int | None = Field(default=None, description="of pauses and overlaps")


class TimelineTurn(TurnTimings):
    """A turn on the timeline: its steps follow each other from `at_ms` on."""

    process: int
    at_ms: int = Field(
        description="end of speech, or of writing: milliseconds from the beginning of the timeline"
    )


class CallTimeline(_Stored):
    """Marks of a call, each at its time; times are milliseconds from the beginning of the recording, or of
    the call if it has none.
    """

    call_id: str
    began_ms: int = Field(description="beginning of the timeline, Unix time in milliseconds")
    duration_ms: int
    has_levels: bool = Field(description="there is a recording: user, agent and marks are of it")
    window_ms: int = Field(description="duration that each level stands for; 0 without levels")
    user: list[int] = Field(description="peak of each window of the users, 0 to 255")
    agent: list[int] = Field(description="peak of each window of the agent, 0 to 255")
    marks: list[CallMark] = Field(description="in the order of their times")
    turns: list[TimelineTurn]


class CallDetails(CallRecord):
    """A call with its turns, its black box, the state of its owner's code, and what was made of it.

    summary, extraction: null unless they were asked for
    """

    call_state: dict[str, Any] = Field(
        description="call.state as this call left it; empty once a later call of the thread changed it"
    )
    turns: list[CallTurn]
    black_box: BlackBox
    summary: Summary | None = None
    extraction: Extraction | None = None


class CallPage(_Stored):
    """Calls, latest first. next: cursor of the next page; null on the last page."""

    calls: list[CallRecord]
    next: str | None


class _Entry(_Stored):
    at_ms: int = Field(description="when it was first recorded, Unix time in milliseconds")


class TextEntry(SnapshotText, _Entry):
    """Words; of a reply, those that were heard. `is_open`: still being generated or played."""


class ToolEntry(SnapshotToolCall, _Entry):
    """A tool call; `output` is null until it returned."""


TranscriptEntry = Annotated[TextEntry | ToolEntry, Field(discriminator="type")]


class CallExport(CallDetails):
    """A call with all that is stored of it; its recording is a file of its own."""

    transcript: list[TranscriptEntry]
    marks: list[CallMark] = Field(description="of its timeline, `at_ms` as Unix time")


class Transcript(_Stored):
    """Transcript of a call; `number` counts from the beginning of the thread."""

    call_id: str
    thread_id: str
    channel_name: str
    is_live: bool
    entries: list[TranscriptEntry]


class Deleted(_Stored):
    """All calls of a person or of a conversation are deleted, and what was remembered of them."""

    status: Literal["Deleted"] = "Deleted"
    calls: int
    memories: int = Field(description="texts of long-term memory that there were")
    recordings: int


class CallDeleted(_Stored):
    """The call is deleted, its recording included."""

    status: Literal["Call deleted"] = "Call deleted"
    call_id: str

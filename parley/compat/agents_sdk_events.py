"""Events and items of the Agents SDK's realtime sessions."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar


@dataclass(slots=True)
class RunContextWrapper:
    """The argument of tools, guardrails and hooks: `context` as given to `run`."""

    context: Any = None


@dataclass(slots=True)
class RealtimeEventInfo:
    """Of every event of a session."""

    context: RunContextWrapper


# -- items ---------------------------------------------------------------------------------------------


@dataclass(slots=True)
class ContentPart:
    """A part of a message: `input_text`, `input_audio`, `input_image`, `text` or `audio`."""

    type: str
    text: str | None = None
    transcript: str | None = None
    audio: str | None = None
    image_url: str | None = None


@dataclass(slots=True)
class RealtimeMessageItem:
    """A message of the user or the agent. status: in_progress, completed or incomplete"""

    item_id: str
    role: str
    content: list[ContentPart] = field(default_factory=list)
    previous_item_id: str | None = None
    status: str | None = None
    type: ClassVar[str] = "message"


@dataclass(slots=True)
class RealtimeToolCallItem:
    """A call of a tool, and its output once there is one."""

    item_id: str
    call_id: str
    name: str
    arguments: str
    output: str | None = None
    previous_item_id: str | None = None
    status: str = "in_progress"
    type: ClassVar[str] = "function_call"


RealtimeItem = RealtimeMessageItem | RealtimeToolCallItem


# -- events of the model -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RealtimeModelAudioEvent:
    """A piece of voice."""

    type: ClassVar[str] = "audio"
    data: bytes = field(repr=False)
    response_id: str
    item_id: str
    content_index: int


@dataclass(frozen=True, slots=True)
class RealtimeModelEvent:
    """Any other event of the model, by its `type`; its fields are attributes."""

    type: str
    fields: dict[str, Any] = field(default_factory=dict, repr=False)

    def __getattr__(self, name: str) -> Any:
        try:
            return self.fields[name]
        except KeyError:
            raise AttributeError(f"an event {self.type} has no {name}") from None


# -- events of a session -------------------------------------------------------------------------------


@dataclass(slots=True, kw_only=True)
class _SessionEvent:
    info: RealtimeEventInfo = field(repr=False)


@dataclass(slots=True, kw_only=True)
class RealtimeAgentStartEvent(_SessionEvent):
    """An agent begins a reply."""

    type: ClassVar[str] = "agent_start"
    agent: Any


@dataclass(slots=True, kw_only=True)
class RealtimeAgentEndEvent(_SessionEvent):
    """An agent has made a reply."""

    type: ClassVar[str] = "agent_end"
    agent: Any


@dataclass(slots=True, kw_only=True)
class RealtimeHandoffEvent(_SessionEvent):
    """Another agent has the floor."""

    type: ClassVar[str] = "handoff"
    from_agent: Any
    to_agent: Any


@dataclass(slots=True, kw_only=True)
class RealtimeToolStart(_SessionEvent):
    """A tool begins to run."""

    type: ClassVar[str] = "tool_start"
    agent: Any
    tool: Any
    arguments: str


@dataclass(slots=True, kw_only=True)
class RealtimeToolEnd(_SessionEvent):
    """A tool has a result."""

    type: ClassVar[str] = "tool_end"
    agent: Any
    tool: Any
    arguments: str
    output: Any


@dataclass(slots=True, kw_only=True)
class RealtimeToolApprovalRequired(_SessionEvent):
    """A tool waits for `approve_tool_call` or `reject_tool_call`."""

    type: ClassVar[str] = "tool_approval_required"
    agent: Any
    tool: Any
    call_id: str
    arguments: str


@dataclass(slots=True, kw_only=True)
class RealtimeRawModelEvent(_SessionEvent):
    """An event of the model, before the events that it means."""

    type: ClassVar[str] = "raw_model_event"
    data: RealtimeModelEvent | RealtimeModelAudioEvent


@dataclass(slots=True, kw_only=True)
class RealtimeAudio(_SessionEvent):
    """Voice to be played."""

    type: ClassVar[str] = "audio"
    audio: RealtimeModelAudioEvent
    item_id: str
    content_index: int


@dataclass(slots=True, kw_only=True)
class RealtimeAudioEnd(_SessionEvent):
    """No more voice comes of a content part."""

    type: ClassVar[str] = "audio_end"
    item_id: str
    content_index: int


@dataclass(slots=True, kw_only=True)
class RealtimeAudioInterrupted(_SessionEvent):
    """The user speaks: stop playing."""

    type: ClassVar[str] = "audio_interrupted"
    item_id: str
    content_index: int


@dataclass(slots=True, kw_only=True)
class RealtimeError(_SessionEvent):
    """Something failed."""

    type: ClassVar[str] = "error"
    error: Any


@dataclass(slots=True, kw_only=True)
class RealtimeHistoryUpdated(_SessionEvent):
    """An item changed or is gone."""

    type: ClassVar[str] = "history_updated"
    history: list[RealtimeItem]


@dataclass(slots=True, kw_only=True)
class RealtimeHistoryAdded(_SessionEvent):
    """An item is new."""

    type: ClassVar[str] = "history_added"
    item: RealtimeItem


@dataclass(slots=True, kw_only=True)
class RealtimeGuardrailTripped(_SessionEvent):
    """A guardrail cut a reply; the model makes another one."""

    type: ClassVar[str] = "guardrail_tripped"
    guardrail_results: list[Any]
    message: str


@dataclass(slots=True, kw_only=True)
class RealtimeInputAudioTimeoutTriggered(_SessionEvent):
    """The idle time of the turn detection passed without speech."""

    type: ClassVar[str] = "input_audio_timeout_triggered"


RealtimeSessionEvent = (
    RealtimeAgentStartEvent
    | RealtimeAgentEndEvent
    | RealtimeHandoffEvent
    | RealtimeToolStart
    | RealtimeToolEnd
    | RealtimeToolApprovalRequired
    | RealtimeRawModelEvent
    | RealtimeAudio
    | RealtimeAudioEnd
    | RealtimeAudioInterrupted
    | RealtimeError
    | RealtimeHistoryUpdated
    | RealtimeHistoryAdded
    | RealtimeGuardrailTripped
    | RealtimeInputAudioTimeoutTriggered
)

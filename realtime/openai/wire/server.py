"""The forty-six messages that the provider may send, and one for those it may send one day."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from realtime.openai.wire.base import ServerMessage, WireEvent, WireObject
from realtime.openai.wire.items import Item
from realtime.openai.wire.reply import (
    McpListToolsCompleted,
    McpListToolsFailed,
    McpListToolsInProgress,
    ResponseContentPartAdded,
    ResponseContentPartDone,
    ResponseCreated,
    ResponseDone,
    ResponseFunctionCallArgumentsDelta,
    ResponseFunctionCallArgumentsDone,
    ResponseMcpCallArgumentsDelta,
    ResponseMcpCallArgumentsDone,
    ResponseMcpCallCompleted,
    ResponseMcpCallFailed,
    ResponseMcpCallInProgress,
    ResponseOutputAudioDelta,
    ResponseOutputAudioDone,
    ResponseOutputAudioTranscriptDelta,
    ResponseOutputAudioTranscriptDone,
    ResponseOutputItemAdded,
    ResponseOutputItemDone,
    ResponseOutputTextDelta,
    ResponseOutputTextDone,
)
from realtime.openai.wire.session import ReportedSession

# -- errors, session, limits -------------------------------------------------------------------


class ErrorDetails(WireObject):
    """What went wrong; `event_id` names the client's message that it answers."""

    type: str = "invalid_request_error"
    code: str | None = None
    message: str = ""
    param: str | None = None
    event_id: str | None = None


class ErrorEvent(ServerMessage):
    """A complaint; the session normally goes on."""

    type: Literal["error"] = "error"
    error: ErrorDetails


class SessionCreated(ServerMessage):
    """The first message of every session."""

    type: Literal["session.created"] = "session.created"
    session: ReportedSession


class SessionUpdated(ServerMessage):
    """The whole session after an update."""

    type: Literal["session.updated"] = "session.updated"
    session: ReportedSession


class RateLimit(WireObject):
    """One limit: `requests` or `tokens`."""

    name: str | None = None
    limit: int | None = None
    remaining: int | None = None
    reset_seconds: float | None = None


class RateLimitsUpdated(ServerMessage):
    """What is left of the account's limits."""

    type: Literal["rate_limits.updated"] = "rate_limits.updated"
    rate_limits: list[RateLimit]


# -- conversation ------------------------------------------------------------------------------


class Conversation(WireObject):
    """The conversation that a session writes to."""

    id: str | None = None
    object: Literal["realtime.conversation"] = "realtime.conversation"


class ConversationCreated(ServerMessage):
    """In the protocol, though current servers do not send it."""

    type: Literal["conversation.created"] = "conversation.created"
    conversation: Conversation


class _ItemEvent(ServerMessage):
    item: Item
    previous_item_id: str | None = None


class ConversationItemCreated(_ItemEvent):
    """Old name of `conversation.item.added`."""

    type: Literal["conversation.item.created"] = "conversation.item.created"


class ConversationItemAdded(_ItemEvent):
    """An item exists; a model's item is still empty."""

    type: Literal["conversation.item.added"] = "conversation.item.added"


class ConversationItemDone(_ItemEvent):
    """An item is complete."""

    type: Literal["conversation.item.done"] = "conversation.item.done"


class ConversationItemRetrieved(ServerMessage):
    """The provider's copy of an item."""

    type: Literal["conversation.item.retrieved"] = "conversation.item.retrieved"
    item: Item


class ConversationItemDeleted(ServerMessage):
    """An item is forgotten."""

    type: Literal["conversation.item.deleted"] = "conversation.item.deleted"
    item_id: str


class ConversationItemTruncated(ServerMessage):
    """What was not heard is forgotten."""

    type: Literal["conversation.item.truncated"] = "conversation.item.truncated"
    item_id: str
    content_index: int
    audio_end_ms: int


# -- the user's audio --------------------------------------------------------------------------


class InputAudioBufferCommitted(ServerMessage):
    """Appended audio became the item `item_id`."""

    type: Literal["input_audio_buffer.committed"] = "input_audio_buffer.committed"
    item_id: str
    previous_item_id: str | None = None


class InputAudioBufferCleared(ServerMessage):
    """Appended audio is forgotten."""

    type: Literal["input_audio_buffer.cleared"] = "input_audio_buffer.cleared"


class InputAudioBufferSpeechStarted(ServerMessage):
    """The user began; the time includes the prefix padding."""

    type: Literal["input_audio_buffer.speech_started"] = "input_audio_buffer.speech_started"
    item_id: str
    audio_start_ms: int


class InputAudioBufferSpeechStopped(ServerMessage):
    """The user ended."""

    type: Literal["input_audio_buffer.speech_stopped"] = "input_audio_buffer.speech_stopped"
    item_id: str
    audio_end_ms: int


class InputAudioBufferTimeoutTriggered(ServerMessage):
    """Nobody spoke for the idle time; empty audio is committed and a reply starts."""

    type: Literal["input_audio_buffer.timeout_triggered"] = "input_audio_buffer.timeout_triggered"
    item_id: str
    audio_start_ms: int
    audio_end_ms: int


class InputAudioBufferDtmfEventReceived(WireEvent):
    """A telephone key (SIP only); the one message without an id of its own."""

    type: Literal["input_audio_buffer.dtmf_event_received"] = (
        "input_audio_buffer.dtmf_event_received"
    )
    event: str
    received_at: int


class InputTranscriptionDelta(ServerMessage):
    """A piece of what the user said."""

    type: Literal["conversation.item.input_audio_transcription.delta"] = (
        "conversation.item.input_audio_transcription.delta"
    )
    item_id: str
    content_index: int = 0
    delta: str = ""
    logprobs: list[Any] | None = None


class TranscriptionUsage(WireObject):
    """What a transcription is billed for: `tokens` or `duration`."""

    type: str
    seconds: float | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    total_tokens: int | None = None
    input_token_details: dict[str, Any] | None = None


class InputTranscriptionCompleted(ServerMessage):
    """All that the user said in this item."""

    type: Literal["conversation.item.input_audio_transcription.completed"] = (
        "conversation.item.input_audio_transcription.completed"
    )
    item_id: str
    content_index: int = 0
    transcript: str
    usage: TranscriptionUsage | None = None
    languages: list[Any] | None = None
    logprobs: list[Any] | None = None


class InputTranscriptionSegment(ServerMessage):
    """A stretch by one speaker."""

    type: Literal["conversation.item.input_audio_transcription.segment"] = (
        "conversation.item.input_audio_transcription.segment"
    )
    item_id: str
    content_index: int = 0
    id: str
    text: str
    speaker: str
    start: float
    end: float


class InputTranscriptionFailed(ServerMessage):
    """The user's words could not be recognised."""

    type: Literal["conversation.item.input_audio_transcription.failed"] = (
        "conversation.item.input_audio_transcription.failed"
    )
    item_id: str
    content_index: int = 0
    error: ErrorDetails


# -- the provider's own playout (WebRTC and SIP only) ------------------------------------------


class OutputAudioBufferStarted(ServerMessage):
    """The provider began to play."""

    type: Literal["output_audio_buffer.started"] = "output_audio_buffer.started"
    response_id: str


class OutputAudioBufferStopped(ServerMessage):
    """The provider has played everything."""

    type: Literal["output_audio_buffer.stopped"] = "output_audio_buffer.stopped"
    response_id: str


class OutputAudioBufferCleared(ServerMessage):
    """The provider dropped what it had not played."""

    type: Literal["output_audio_buffer.cleared"] = "output_audio_buffer.cleared"
    response_id: str


class UnknownEvent(WireEvent):
    """A message of a type that this version does not know; never part of the union below."""

    model_config = ConfigDict(extra="allow")

    type: str


KnownServerEvent = (
    ErrorEvent
    | SessionCreated
    | SessionUpdated
    | RateLimitsUpdated
    | ConversationCreated
    | ConversationItemCreated
    | ConversationItemAdded
    | ConversationItemDone
    | ConversationItemRetrieved
    | ConversationItemDeleted
    | ConversationItemTruncated
    | InputAudioBufferCommitted
    | InputAudioBufferCleared
    | InputAudioBufferSpeechStarted
    | InputAudioBufferSpeechStopped
    | InputAudioBufferTimeoutTriggered
    | InputAudioBufferDtmfEventReceived
    | InputTranscriptionDelta
    | InputTranscriptionCompleted
    | InputTranscriptionSegment
    | InputTranscriptionFailed
    | OutputAudioBufferStarted
    | OutputAudioBufferStopped
    | OutputAudioBufferCleared
    | ResponseCreated
    | ResponseDone
    | ResponseOutputItemAdded
    | ResponseOutputItemDone
    | ResponseContentPartAdded
    | ResponseContentPartDone
    | ResponseOutputTextDelta
    | ResponseOutputTextDone
    | ResponseOutputAudioTranscriptDelta
    | ResponseOutputAudioTranscriptDone
    | ResponseOutputAudioDelta
    | ResponseOutputAudioDone
    | ResponseFunctionCallArgumentsDelta
    | ResponseFunctionCallArgumentsDone
    | ResponseMcpCallArgumentsDelta
    | ResponseMcpCallArgumentsDone
    | ResponseMcpCallInProgress
    | ResponseMcpCallCompleted
    | ResponseMcpCallFailed
    | McpListToolsInProgress
    | McpListToolsCompleted
    | McpListToolsFailed
)
ServerEvent = Annotated[KnownServerEvent, Field(discriminator="type")]

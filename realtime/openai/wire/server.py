"""The forty-six messages that the provider may send, and one for those it may send one day."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, model_validator

from realtime.lenient_parsing import Count, Finite, Piece, Word
from realtime.openai.wire.base import ServerMessage, WireEvent, WireObject
from realtime.openai.wire.items import Item, as_details
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
from realtime.openai.wire.session import ReportedSession, SessionHead

# -- errors, session, limits -------------------------------------------------------------------


class ErrorDetails(WireObject):
    """The error; `event_id` names the client's message that it answers."""

    type: Word = "invalid_request_error"
    code: Word | None = None
    message: Word = ""
    param: Word | None = None
    event_id: str | None = None


Complaint = Annotated[ErrorDetails, BeforeValidator(as_details)]


class ErrorEvent(ServerMessage):
    """A complaint; the session normally goes on."""

    type: Literal["error"] = "error"
    error: Complaint = Field(default_factory=ErrorDetails)

    @model_validator(mode="before")
    @classmethod
    def _find_details(cls, values: Any) -> Any:
        """Some servers put them beside the type."""
        if isinstance(values, Mapping) and not isinstance(
            values.get("error"), Mapping | str | ErrorDetails
        ):
            found = {name: values[name] for name in ("code", "message", "param") if name in values}
            return {**values, "error": found}
        return values


class SessionCreated(ServerMessage):
    """The first message of every session."""

    type: Literal["session.created"] = "session.created"
    session: ReportedSession = Field(default_factory=SessionHead)


class SessionUpdated(ServerMessage):
    """The whole session after an update."""

    type: Literal["session.updated"] = "session.updated"
    session: ReportedSession = Field(default_factory=SessionHead)


class TokenBucket(WireObject):
    """One limit: `requests` or `tokens`."""

    name: str | None = None
    limit: Count | None = None
    remaining: Count | None = None
    reset_seconds: Finite | None = None


class RateLimitsUpdated(ServerMessage):
    """The remaining part of the account's limits."""

    type: Literal["rate_limits.updated"] = "rate_limits.updated"
    rate_limits: list[TokenBucket] = Field(default_factory=list)


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
    previous_item_id: Word | None = None


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
    item_id: Word = ""


class ConversationItemTruncated(ServerMessage):
    """The unheard part of an item was removed."""

    type: Literal["conversation.item.truncated"] = "conversation.item.truncated"
    item_id: Word = ""
    content_index: Count = 0
    audio_end_ms: Count = 0


# -- the user's audio --------------------------------------------------------------------------


class InputAudioBufferCommitted(ServerMessage):
    """Appended audio became the item `item_id`."""

    type: Literal["input_audio_buffer.committed"] = "input_audio_buffer.committed"
    item_id: Word = ""
    previous_item_id: Word | None = None


class InputAudioBufferCleared(ServerMessage):
    """Appended audio is forgotten."""

    type: Literal["input_audio_buffer.cleared"] = "input_audio_buffer.cleared"


class InputAudioBufferSpeechStarted(ServerMessage):
    """The user began; the time includes the prefix padding."""

    type: Literal["input_audio_buffer.speech_started"] = "input_audio_buffer.speech_started"
    item_id: Word = ""
    audio_start_ms: Count = 0


class InputAudioBufferSpeechStopped(ServerMessage):
    """The user ended."""

    type: Literal["input_audio_buffer.speech_stopped"] = "input_audio_buffer.speech_stopped"
    item_id: Word = ""
    audio_end_ms: Count = 0


class InputAudioBufferTimeoutTriggered(ServerMessage):
    """The idle time passed without speech; empty audio is committed and a reply starts."""

    type: Literal["input_audio_buffer.timeout_triggered"] = "input_audio_buffer.timeout_triggered"
    item_id: Word = ""
    audio_start_ms: Count = 0
    audio_end_ms: Count = 0


class InputAudioBufferDtmfEventReceived(WireEvent):
    """A telephone key (SIP only); the one message without an id of its own."""

    type: Literal["input_audio_buffer.dtmf_event_received"] = (
        "input_audio_buffer.dtmf_event_received"
    )
    event: Word
    received_at: Count = 0


class InputTranscriptionDelta(ServerMessage):
    """A piece of what the user said."""

    type: Literal["conversation.item.input_audio_transcription.delta"] = (
        "conversation.item.input_audio_transcription.delta"
    )
    item_id: Word = ""
    content_index: Count = 0
    delta: Piece = ""
    logprobs: list[Any] | None = None


class TranscriptionUsage(WireObject):
    """Billed units of a transcription: `tokens` or `duration`."""

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
    item_id: Word = ""
    content_index: Count = 0
    transcript: str = ""
    usage: TranscriptionUsage | None = None
    languages: list[Any] | None = None
    logprobs: list[Any] | None = None


class InputTranscriptionSegment(ServerMessage):
    """A stretch by one speaker."""

    type: Literal["conversation.item.input_audio_transcription.segment"] = (
        "conversation.item.input_audio_transcription.segment"
    )
    item_id: Word = ""
    content_index: Count = 0
    id: Word = ""
    text: str = ""
    speaker: Word = ""
    start: Finite = 0.0
    end: Finite = 0.0


class InputTranscriptionFailed(ServerMessage):
    """The user's words could not be recognised."""

    type: Literal["conversation.item.input_audio_transcription.failed"] = (
        "conversation.item.input_audio_transcription.failed"
    )
    item_id: Word = ""
    content_index: Count = 0
    error: Complaint = Field(default_factory=ErrorDetails)


# -- the provider's own playout (WebRTC and SIP only) ------------------------------------------


class OutputAudioBufferStarted(ServerMessage):
    """The provider began to play."""

    type: Literal["output_audio_buffer.started"] = "output_audio_buffer.started"
    response_id: Word = ""


class OutputAudioBufferStopped(ServerMessage):
    """The provider has played everything."""

    type: Literal["output_audio_buffer.stopped"] = "output_audio_buffer.stopped"
    response_id: Word = ""


class OutputAudioBufferCleared(ServerMessage):
    """The provider dropped what it had not played."""

    type: Literal["output_audio_buffer.cleared"] = "output_audio_buffer.cleared"
    response_id: Word = ""


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

"""What may cross the provider seam: events from a model, commands to it. Two closed unions.

Vendor JSON stays behind the seam. Audio is PCM16 little-endian mono bytes together with its
rate; ids are the provider's. Events are past tense, commands imperative. An adapter that meets
something it does not know emits `UnknownEventReceived`, never None.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal


class ConnectionStatus(StrEnum):
    """Where the socket to the provider is; see `realtime.model.RealtimeModel.events`."""

    CONNECTING = "connecting"
    OPEN = "open"
    RECONNECTING = "reconnecting"
    CLOSING = "closing"
    CLOSED = "closed"


class ResponseStatus(StrEnum):
    """How a response ended, in OpenAI's words; other providers are mapped onto them."""

    COMPLETED = "completed"
    CANCELLED = "cancelled"
    INCOMPLETE = "incomplete"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens a response was billed for; zero where the provider does not say."""

    input_tokens: int = 0
    output_tokens: int = 0
    total_tokens: int = 0
    details: Mapping[str, int] = field(default_factory=dict)


# -- events: provider -> agent -----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SessionOpened:
    """The provider accepted us and our settings; `expires_at_s` is Unix time, if it said so."""

    session_id: str
    expires_at_s: float | None = None


@dataclass(frozen=True, slots=True)
class SessionUpdated:
    """The provider took over changed settings."""

    session_id: str


@dataclass(frozen=True, slots=True)
class SessionEnded:
    """The provider session is gone for good; no event follows it.

    code: machine word of the cause (`disconnected`, `session_expired`, `idle`, ...)
    is_retryable: whether a new session can be expected to work
    """

    reason: str
    code: str = "disconnected"
    is_retryable: bool = True


@dataclass(frozen=True, slots=True)
class GoAwayReceived:
    """The provider will close this session soon; `time_left_ms` is None when it did not say when."""

    time_left_ms: int | None = None


@dataclass(frozen=True, slots=True)
class ResumptionUpdated:
    """A later session may go on where this one is now; None: not at this point."""

    handle: str | None


@dataclass(frozen=True, slots=True)
class ConnectionChanged:
    """The socket changed state."""

    status: ConnectionStatus
    reason: str = ""


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    """The provider heard the user begin; `audio_start_ms` counts sent input audio."""

    item_id: str
    audio_start_ms: int


@dataclass(frozen=True, slots=True)
class SpeechStopped:
    """The provider heard the user end; `audio_end_ms` counts sent input audio."""

    item_id: str
    audio_end_ms: int


@dataclass(frozen=True, slots=True)
class InputCommitted:
    """The user's audio became a conversation item."""

    item_id: str
    previous_item_id: str | None = None


@dataclass(frozen=True, slots=True)
class InputTimeoutTriggered:
    """Nobody spoke for the configured idle time; a reply to the silence follows."""

    item_id: str
    audio_start_ms: int
    audio_end_ms: int


@dataclass(frozen=True, slots=True)
class InputTranscriptDelta:
    """A piece of what the user said."""

    item_id: str
    delta: str


@dataclass(frozen=True, slots=True)
class InputTranscriptDone:
    """What the user said, whole."""

    item_id: str
    transcript: str


@dataclass(frozen=True, slots=True)
class InputTranscriptFailed:
    """The user's words could not be recognised; the audio itself may still be understood."""

    item_id: str
    message: str


@dataclass(frozen=True, slots=True)
class ResponseCreated:
    """A reply began; from here until its `ResponseDone` it is the active response."""

    response_id: str


@dataclass(frozen=True, slots=True)
class ItemAdded:
    """A conversation item exists at the provider."""

    item_id: str
    kind: str
    role: Literal["user", "assistant", "system"] | None = None
    response_id: str | None = None


@dataclass(frozen=True, slots=True)
class AudioDelta:
    """A piece of the reply's voice."""

    response_id: str
    item_id: str
    content_index: int
    pcm: bytes
    sample_rate_hz: int


@dataclass(frozen=True, slots=True)
class AudioDone:
    """The voice of one content part is complete."""

    response_id: str
    item_id: str
    content_index: int


@dataclass(frozen=True, slots=True)
class TranscriptDelta:
    """A piece of the words that the reply's voice says."""

    response_id: str
    item_id: str
    content_index: int
    delta: str


@dataclass(frozen=True, slots=True)
class TranscriptDone:
    """All words that the voice of one content part says."""

    response_id: str
    item_id: str
    content_index: int
    transcript: str


@dataclass(frozen=True, slots=True)
class TextDelta:
    """A piece of a reply that is written, not spoken."""

    response_id: str
    item_id: str
    content_index: int
    delta: str


@dataclass(frozen=True, slots=True)
class TextDone:
    """A written content part is complete."""

    response_id: str
    item_id: str
    content_index: int
    text: str


@dataclass(frozen=True, slots=True)
class ToolCallDelta:
    """A piece of a tool call's JSON arguments."""

    response_id: str
    item_id: str
    call_id: str
    delta: str


@dataclass(frozen=True, slots=True)
class ToolCallRequested:
    """The model wants a tool run; emitted once a call. `arguments` is JSON text as received."""

    response_id: str
    item_id: str
    call_id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class ToolCallCancelled:
    """The provider no longer wants these calls' outputs."""

    call_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ToolApprovalRequested:
    """The provider wants to call a tool by itself and waits for an `AnswerToolApproval`."""

    request_id: str
    server_label: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class HostedToolProgress:
    """How far the provider is with a tool, or with a tool server, that it calls by itself.

    stage: `listing`, `listed`, `listing_failed` of a server's tools; `calling`, `done`, `failed`
        of one call. The names, arguments and output are known where the provider tells them.
    """

    item_id: str
    stage: Literal["listing", "listed", "listing_failed", "calling", "done", "failed"]
    server_label: str = ""
    name: str = ""
    arguments: str = ""
    output: str = ""
    error: str = ""


@dataclass(frozen=True, slots=True)
class DtmfReceived:
    """A telephone key: one of `0` to `9`, `*`, `#`, `A` to `D`; `received_at_s` is Unix time."""

    key: str
    received_at_s: float


@dataclass(frozen=True, slots=True)
class Interrupted:
    """The provider itself cut its reply because the user spoke."""

    response_id: str | None = None


@dataclass(frozen=True, slots=True)
class GenerationDone:
    """No more audio or text comes for this response, though its turn may not be over."""

    response_id: str


@dataclass(frozen=True, slots=True)
class ResponseDone:
    """The reply's turn is over at the provider. What was heard of it is another question."""

    response_id: str
    status: ResponseStatus
    reason: str | None = None
    usage: Usage = field(default_factory=Usage)


@dataclass(frozen=True, slots=True)
class ItemTruncated:
    """The provider forgot what was not heard of this item."""

    item_id: str
    content_index: int
    audio_end_ms: int


@dataclass(frozen=True, slots=True)
class ItemDeleted:
    """The provider forgot this item."""

    item_id: str


@dataclass(frozen=True, slots=True)
class RateLimitsUpdated:
    """The provider's limits by name: what remains, of how much, and seconds until it is reset."""

    remaining: Mapping[str, int]
    limits: Mapping[str, int] = field(default_factory=dict)
    reset_s: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ProviderError:
    """The provider complained. `is_fatal`: the session cannot go on and retrying is useless."""

    code: str
    message: str
    is_fatal: bool = False
    event_id: str | None = None
    param: str | None = None


@dataclass(frozen=True, slots=True)
class UnknownEventReceived:
    """A provider event that this version does not know, with all it carried."""

    type: str
    data: Mapping[str, Any] = field(default_factory=dict, repr=False)


ModelEvent = (
    SessionOpened
    | SessionUpdated
    | SessionEnded
    | GoAwayReceived
    | ResumptionUpdated
    | ConnectionChanged
    | SpeechStarted
    | SpeechStopped
    | InputCommitted
    | InputTimeoutTriggered
    | InputTranscriptDelta
    | InputTranscriptDone
    | InputTranscriptFailed
    | ResponseCreated
    | ItemAdded
    | AudioDelta
    | AudioDone
    | TranscriptDelta
    | TranscriptDone
    | TextDelta
    | TextDone
    | ToolCallDelta
    | ToolCallRequested
    | ToolCallCancelled
    | ToolApprovalRequested
    | HostedToolProgress
    | DtmfReceived
    | Interrupted
    | GenerationDone
    | ResponseDone
    | ItemTruncated
    | ItemDeleted
    | RateLimitsUpdated
    | ProviderError
    | UnknownEventReceived
)


# -- commands: agent -> provider ---------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AppendAudio:
    """User audio, PCM16 mono at the rate of the model's capability record."""

    pcm: bytes


@dataclass(frozen=True, slots=True)
class CommitAudio:
    """End the user's turn by hand (turn detection off)."""


@dataclass(frozen=True, slots=True)
class ClearAudio:
    """Forget user audio that is not yet part of the conversation."""


@dataclass(frozen=True, slots=True)
class AddText:
    """A written message; `system` steers the model without being said by anyone."""

    text: str
    role: Literal["user", "assistant", "system"] = "user"
    item_id: str | None = None


@dataclass(frozen=True, slots=True)
class AddImage:
    """A picture the user shows, encoded as its MIME type says."""

    data: bytes
    mime_type: Literal["image/jpeg", "image/png"] = "image/jpeg"
    detail: Literal["auto", "low", "high"] | None = None


@dataclass(frozen=True, slots=True)
class AddToolCall:
    """A call that was made in an earlier session, told again; its `AddToolOutput` follows."""

    call_id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class AddToolOutput:
    """The answer to a `ToolCallRequested`; the model sees `output` as text."""

    call_id: str
    output: str


@dataclass(frozen=True, slots=True)
class AnswerToolApproval:
    """The answer to a `ToolApprovalRequested`."""

    request_id: str
    is_approved: bool
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class CreateResponse:
    """Ask for a reply; the adapter holds it back while another response is active."""

    instructions: str | None = None


@dataclass(frozen=True, slots=True)
class CancelResponse:
    """Stop the active reply; a cancel that comes too late is not an error."""

    response_id: str | None = None


@dataclass(frozen=True, slots=True)
class TruncateItem:
    """Tell the model what was heard: the first `audio_end_ms` of this content part."""

    item_id: str
    content_index: int
    audio_end_ms: int


@dataclass(frozen=True, slots=True)
class DeleteItem:
    """Make the model forget an item, for example one that was never heard."""

    item_id: str


@dataclass(frozen=True, slots=True)
class UpdateSettings:
    """Change the session: only the fields that are set. Keys as in `realtime.model.ModelSettings`."""

    changes: Mapping[str, Any]


ModelCommand = (
    AppendAudio
    | CommitAudio
    | ClearAudio
    | AddText
    | AddImage
    | AddToolCall
    | AddToolOutput
    | AnswerToolApproval
    | CreateResponse
    | CancelResponse
    | TruncateItem
    | DeleteItem
    | UpdateSettings
)

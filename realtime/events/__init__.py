"""What may cross the provider seam: events from a model, commands to it. Two closed unions.

Vendor JSON stays behind the seam. Audio is PCM16 little-endian mono bytes together with its
rate; ids are the provider's. Events are past tense, commands imperative. An adapter that meets
something it does not know emits `UnknownEventReceived`, never None.
"""

from realtime.events.commands import (
    AddImage,
    AddText,
    AddToolCall,
    AddToolOutput,
    AnswerToolApproval,
    AppendAudio,
    CancelResponse,
    ClearAudio,
    CommitAudio,
    CreateResponse,
    DeleteItem,
    ModelCommand,
    TruncateItem,
    UpdateSettings,
)
from realtime.events.hearing import (
    DtmfReceived,
    InputCommitted,
    InputTimeoutTriggered,
    InputTranscriptDelta,
    InputTranscriptDone,
    InputTranscriptFailed,
    SpeechStarted,
    SpeechStopped,
)
from realtime.events.replies import (
    AudioDelta,
    AudioDone,
    GenerationDone,
    Interrupted,
    ItemAdded,
    ItemDeleted,
    ItemTruncated,
    ResponseCreated,
    ResponseDone,
    ResponseStatus,
    TextDelta,
    TextDone,
    TranscriptDelta,
    TranscriptDone,
    Usage,
)
from realtime.events.session import (
    ConnectionChanged,
    ConnectionStatus,
    GoAwayReceived,
    ProviderError,
    RateLimitsUpdated,
    ResumptionUpdated,
    SessionEnded,
    SessionOpened,
    SessionUpdated,
    UnknownEventReceived,
)
from realtime.events.tool_calls import (
    HostedToolProgress,
    ToolApprovalRequested,
    ToolCallCancelled,
    ToolCallDelta,
    ToolCallRequested,
)

__all__ = [
    "ModelEvent",
    "ModelCommand",
    "ConnectionStatus",
    "SessionOpened",
    "SessionUpdated",
    "SessionEnded",
    "GoAwayReceived",
    "ResumptionUpdated",
    "ConnectionChanged",
    "RateLimitsUpdated",
    "ProviderError",
    "UnknownEventReceived",
    "SpeechStarted",
    "SpeechStopped",
    "InputCommitted",
    "InputTimeoutTriggered",
    "InputTranscriptDelta",
    "InputTranscriptDone",
    "InputTranscriptFailed",
    "DtmfReceived",
    "ResponseStatus",
    "Usage",
    "ResponseCreated",
    "ItemAdded",
    "AudioDelta",
    "AudioDone",
    "TranscriptDelta",
    "TranscriptDone",
    "TextDelta",
    "TextDone",
    "Interrupted",
    "GenerationDone",
    "ResponseDone",
    "ItemTruncated",
    "ItemDeleted",
    "ToolCallDelta",
    "ToolCallRequested",
    "ToolCallCancelled",
    "ToolApprovalRequested",
    "HostedToolProgress",
    "AppendAudio",
    "CommitAudio",
    "ClearAudio",
    "AddText",
    "AddImage",
    "AddToolCall",
    "AddToolOutput",
    "AnswerToolApproval",
    "CreateResponse",
    "CancelResponse",
    "TruncateItem",
    "DeleteItem",
    "UpdateSettings",
]

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

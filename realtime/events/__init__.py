"""Events from a model and commands to it: the two closed unions that cross the provider seam.

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
    InputItem,
    ItemReference,
    ModelCommand,
    SendRaw,
    TruncateItem,
    UpdateSettings,
)
from realtime.events.input import (
    DtmfReceived,
    InputCommitted,
    InputTimeoutTriggered,
    InputTranscriptDelta,
    InputTranscriptDone,
    InputTranscriptFailed,
    SpeechStarted,
    SpeechStopped,
)
from realtime.events.output import (
    AudioDelta,
    AudioDone,
    GenerationDone,
    Interrupted,
    ItemAdded,
    ItemDeleted,
    ItemTruncated,
    OutOfBand,
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
    RawEventReceived,
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
    "RawEventReceived",
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
    "OutOfBand",
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
    "InputItem",
    "ItemReference",
    "SendRaw",
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
    | RawEventReceived
)

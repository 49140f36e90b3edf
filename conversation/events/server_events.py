"""Events from an agent to clients: the `ServerEvent` union."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from conversation.events.parts import (
    AudioFormat,
    Event,
    GrowingToolUse,
    ToolResult,
    ToolUse,
)
from conversation.turn_timings import TurnTimings


class ServerSessionCreated(Event):
    type: Literal["server_session_created"] = "server_session_created"
    session_id: str


class ServerSessionUpdated(Event):
    type: Literal["server_session_updated"] = "server_session_updated"
    session_id: str


class ServerSessionGoAway(Event):
    """The provider will close its session; the agent moves to another one without a gap."""

    type: Literal["server_session_go_away"] = "server_session_go_away"
    time_left_ms: int | None = None


class ServerSessionResumptionUpdated(Event):
    """`is_resumable`: the provider's session could be resumed from this point."""

    type: Literal["server_session_resumption_updated"] = "server_session_resumption_updated"
    is_resumable: bool


class ServerSessionEnded(Event):
    type: Literal["server_session_ended"] = "server_session_ended"
    session_id: str


class _AgentEvent(Event):
    agent_id: str
    agent_name: str


class AgentReady(_AgentEvent):
    """The agent is there and hears.

    has_manual_turns: users are heard between activity start and end only
    has_image_input: the model sees images
    """

    type: Literal["agent_ready"] = "agent_ready"
    has_manual_turns: bool = False
    has_image_input: bool = False
    is_recorded: bool = False


class AgentEnded(_AgentEvent):
    type: Literal["agent_ended"] = "agent_ended"
    reason: str = ""


class AgentResponseCreated(_AgentEvent):
    """is_out_of_band: the reply is none of the conversation's; its words come in no event."""

    type: Literal["agent_response_created"] = "agent_response_created"
    response_id: str
    is_out_of_band: bool = False


class AgentResponseDone(_AgentEvent):
    """The model ended a response; `status` is completed, cancelled, incomplete or failed.

    metadata: what the request for it said of itself
    """

    type: Literal["agent_response_done"] = "agent_response_done"
    response_id: str
    status: str = "completed"
    input_tokens: int = 0
    output_tokens: int = 0
    metadata: dict[str, str] = Field(default_factory=dict)
    is_out_of_band: bool = False


class AgentResponseAudioDelta(_AgentEvent):
    """Model audio for clients without WebRTC; base64 PCM16."""

    type: Literal["agent_response_audio_delta"] = "agent_response_audio_delta"
    response_id: str
    item_id: str
    delta: str
    format: AudioFormat


class AgentResponseAudioDone(_AgentEvent):
    type: Literal["agent_response_audio_done"] = "agent_response_audio_done"
    response_id: str
    item_id: str


class AgentResponseAudioTranscriptDelta(_AgentEvent):
    type: Literal["agent_response_audio_transcript_delta"] = "agent_response_audio_transcript_delta"
    response_id: str
    item_id: str
    delta: str


class AgentResponseAudioTranscriptDone(_AgentEvent):
    """`transcript` is everything the model said, heard or not."""

    type: Literal["agent_response_audio_transcript_done"] = "agent_response_audio_transcript_done"
    response_id: str
    item_id: str
    transcript: str = ""


class AgentInterrupted(_AgentEvent):
    """The user spoke over the reply; `heard` is the part of its words that was heard."""

    type: Literal["agent_interrupted"] = "agent_interrupted"
    response_id: str
    item_id: str
    audio_end_ms: int
    heard: str


class AgentGuardrailTripped(_AgentEvent):
    """A text broke a rule of the server, or did not pass a guardrail of the agent.

    check: text that was looked at; for another than a reply `response_id` may be empty, and for a
        tool `item_id` is the id of the call
    """

    type: Literal["agent_guardrail_tripped"] = "agent_guardrail_tripped"
    response_id: str
    item_id: str
    guardrail: str
    check: Literal["input", "reply", "tool_arguments", "tool_result"] = "reply"


class AgentHandedOver(_AgentEvent):
    """Another agent definition of the server continues the conversation; `main` is the first one."""

    type: Literal["agent_handed_over"] = "agent_handed_over"
    previous: str
    current: str


class AgentTransferRequested(_AgentEvent):
    """The agent asks for a person to take over.

    target: for the owner: a name, a team, a number
    uid: with which the person has to join; the agent then falls silent or leaves
    summary: of the call, for the person
    """

    type: Literal["agent_transfer_requested"] = "agent_transfer_requested"
    target: str
    uid: int
    summary: str


class AgentTransferred(_AgentEvent):
    """The person has joined and has the call now."""

    type: Literal["agent_transferred"] = "agent_transferred"
    target: str
    uid: int


class AgentPaused(_AgentEvent):
    """A user made a sound: the voice is paused until it is clear whether that is an interruption."""

    type: Literal["agent_paused"] = "agent_paused"


class AgentResumed(_AgentEvent):
    """It was no interruption, and the reply goes on where it paused.

    cause: noise, backchannel, few_words, echo, short, or unconfirmed
    """

    type: Literal["agent_resumed"] = "agent_resumed"
    cause: str


class AgentTurnMeasured(_AgentEvent):
    """Duration of each step from the end of a user's turn to the first sound of the reply."""

    type: Literal["agent_turn_measured"] = "agent_turn_measured"
    timings: TurnTimings


class AgentTalkMeasured(_AgentEvent):
    """Nobody spoke for more than 2 s, or user and agent spoke at once for 0.2 s or more; it is over.

    began_at_ms: Unix time in milliseconds
    """

    type: Literal["agent_talk_measured"] = "agent_talk_measured"
    kind: Literal["pause", "overlap"]
    began_at_ms: int
    duration_ms: int


class AgentPlayoutProgress(_AgentEvent):
    """Position of the reply at the receiver: `heard_characters` of its words, `heard_ms` of its
    audio.

    Sent to clients that report their playout (`client_playout_report`).
    """

    type: Literal["agent_playout_progress"] = "agent_playout_progress"
    response_id: str
    item_id: str
    heard_ms: int
    heard_characters: int


class AgentPlayoutDone(_AgentEvent):
    """The last sample of this reply has left for the listeners."""

    type: Literal["agent_playout_done"] = "agent_playout_done"
    response_id: str
    item_id: str


class AgentResponseToolUseDelta(_AgentEvent):
    """A tool call grows: `tool_use.raw_input` is all of its JSON arguments so far.

    Of long arguments not each piece is published (`conversation.growing_calls`).
    """

    type: Literal["agent_response_tool_use_delta"] = "agent_response_tool_use_delta"
    response_id: str
    item_id: str
    tool_use: GrowingToolUse


class AgentResponseToolUseDone(_AgentEvent):
    """A tool is called. `is_client_tool`: the client must answer with `client_tool_result`."""

    type: Literal["agent_response_tool_use_done"] = "agent_response_tool_use_done"
    response_id: str
    item_id: str
    tool_use: ToolUse
    is_client_tool: bool = False


class AgentToolApprovalRequired(_AgentEvent):
    """A tool needs an approval (`client_tool_approval`); no answer in time means no.

    server_label: the provider's tool server that will run it; empty for the agent's own tools
    """

    type: Literal["agent_tool_approval_required"] = "agent_tool_approval_required"
    tool_use: ToolUse
    server_label: str = ""
    timeout_ms: int


class AgentResponseToolResult(_AgentEvent):
    type: Literal["agent_response_tool_result"] = "agent_response_tool_result"
    tool_result: ToolResult


class AgentHostedToolProgress(_AgentEvent):
    """A tool, or a tool server, that the provider calls by itself went on.

    stage: `listing`, `listed`, `listing_failed` of a server's tools; `calling`, `done`, `failed` of
        one call
    """

    type: Literal["agent_hosted_tool_progress"] = "agent_hosted_tool_progress"
    item_id: str
    stage: str
    server_label: str = ""
    name: str = ""
    arguments: str = ""
    output: str = ""
    error: str = ""


class AgentInputTranscriptionDelta(_AgentEvent):
    type: Literal["agent_input_transcription_delta"] = "agent_input_transcription_delta"
    item_id: str
    delta: str


class AgentInputTranscriptionDone(_AgentEvent):
    """The words of a user turn.

    is_posted: it was written in the room's chat, where all participants have it
    input_tokens, output_tokens: what the provider billed for writing it down, if it says so
    """

    type: Literal["agent_input_transcription_done"] = "agent_input_transcription_done"
    transcript: str
    item_id: str
    uid: int | None = None
    is_posted: bool = False
    input_tokens: int | None = None
    output_tokens: int | None = None


class AgentInputTranscriptionFailed(_AgentEvent):
    """What was said could not be written down; the model may have understood it nevertheless."""

    type: Literal["agent_input_transcription_failed"] = "agent_input_transcription_failed"
    item_id: str
    message: str


class AgentInputStarted(_AgentEvent):
    """`uid`: the likely speaker, if known."""

    type: Literal["agent_input_started"] = "agent_input_started"
    item_id: str
    audio_start_ms: int
    uid: int | None = None


class AgentInputDone(_AgentEvent):
    type: Literal["agent_input_done"] = "agent_input_done"
    item_id: str
    audio_end_ms: int
    uid: int | None = None


class AgentInputTimeoutTriggered(_AgentEvent):
    """The turn detection's idle time passed without speech; the agent speaks up."""

    type: Literal["agent_input_timeout_triggered"] = "agent_input_timeout_triggered"
    item_id: str
    audio_start_ms: int
    audio_end_ms: int


class AgentItemAdded(_AgentEvent):
    """A message of the user or the agent became part of the conversation at the provider."""

    type: Literal["agent_item_added"] = "agent_item_added"
    item_id: str
    role: Literal["user", "assistant"]
    response_id: str | None = None


class AgentItemUpdated(_AgentEvent):
    """A message reached its end; `text` is what was understood, or of a reply what was heard.

    status: completed or interrupted
    """

    type: Literal["agent_item_updated"] = "agent_item_updated"
    item_id: str
    role: Literal["user", "assistant"]
    status: str
    text: str


class AgentItemDeleted(_AgentEvent):
    """The provider removed an item, for example noise that was no turn."""

    type: Literal["agent_item_deleted"] = "agent_item_deleted"
    item_id: str


class AgentProviderEvent(_AgentEvent):
    """An event of the provider that has none of its own here, as it came."""

    type: Literal["agent_provider_event"] = "agent_provider_event"
    provider_type: str
    data: dict[str, Any]


class AgentLimitNear(_AgentEvent):
    """The call will end for this exit reason; within `ends_in_ms` if the limit is one of time."""

    type: Literal["agent_limit_near"] = "agent_limit_near"
    reason: str
    ends_in_ms: int | None = None


class AgentConnectionChanged(_AgentEvent):
    """The model was lost (`reconnecting`) or is back (`open`); the call goes on meanwhile."""

    type: Literal["agent_connection_changed"] = "agent_connection_changed"
    status: Literal["open", "reconnecting", "closed"]


class AgentError(_AgentEvent):
    """error_type: `client` (the client's event was refused), `provider` or `agent`."""

    type: Literal["agent_error"] = "agent_error"
    error_type: str
    code: str
    message: str


ServerEvent = Annotated[
    ServerSessionCreated
    | ServerSessionUpdated
    | ServerSessionGoAway
    | ServerSessionResumptionUpdated
    | ServerSessionEnded
    | AgentReady
    | AgentEnded
    | AgentResponseCreated
    | AgentResponseDone
    | AgentResponseAudioDelta
    | AgentResponseAudioDone
    | AgentResponseAudioTranscriptDelta
    | AgentResponseAudioTranscriptDone
    | AgentInterrupted
    | AgentGuardrailTripped
    | AgentHandedOver
    | AgentTransferRequested
    | AgentTransferred
    | AgentPaused
    | AgentResumed
    | AgentTurnMeasured
    | AgentTalkMeasured
    | AgentPlayoutProgress
    | AgentPlayoutDone
    | AgentResponseToolUseDelta
    | AgentResponseToolUseDone
    | AgentToolApprovalRequired
    | AgentResponseToolResult
    | AgentHostedToolProgress
    | AgentInputTranscriptionDelta
    | AgentInputTranscriptionDone
    | AgentInputTranscriptionFailed
    | AgentInputStarted
    | AgentInputDone
    | AgentInputTimeoutTriggered
    | AgentItemAdded
    | AgentItemUpdated
    | AgentItemDeleted
    | AgentProviderEvent
    | AgentLimitNear
    | AgentConnectionChanged
    | AgentError,
    Field(discriminator="type"),
]

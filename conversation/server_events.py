"""What an agent tells people's programs: the `ServerEvent` union."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from conversation.event_parts import AudioFormat, Event, ToolResult, ToolUse
from conversation.turn_timings import TurnTimings


class ServerSessionCreated(Event):
    type: Literal["server_session_created"] = "server_session_created"
    session_id: str


class ServerSessionUpdated(Event):
    type: Literal["server_session_updated"] = "server_session_updated"
    session_id: str


class ServerSessionEnded(Event):
    type: Literal["server_session_ended"] = "server_session_ended"
    session_id: str


class _AgentEvent(Event):
    agent_id: str
    agent_name: str


class AgentReady(_AgentEvent):
    """has_manual_turns: nobody is heard except between activity start and end."""

    type: Literal["agent_ready"] = "agent_ready"
    has_manual_turns: bool = False
    is_recorded: bool = False


class AgentEnded(_AgentEvent):
    type: Literal["agent_ended"] = "agent_ended"
    reason: str = ""


class AgentResponseCreated(_AgentEvent):
    type: Literal["agent_response_created"] = "agent_response_created"
    response_id: str


class AgentResponseDone(_AgentEvent):
    """The model finished; `status` is completed, cancelled, incomplete or failed."""

    type: Literal["agent_response_done"] = "agent_response_done"
    response_id: str
    status: str = "completed"
    input_tokens: int = 0
    output_tokens: int = 0
    metadata: dict[str, str] = Field(default_factory=dict)


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
    """The user spoke over the reply; `heard` is the part of its words that was played."""

    type: Literal["agent_interrupted"] = "agent_interrupted"
    response_id: str
    item_id: str
    audio_end_ms: int
    heard: str


class AgentGuardrailTripped(_AgentEvent):
    """What the agent was about to say broke a rule of the server: the reply was cut."""

    type: Literal["agent_guardrail_tripped"] = "agent_guardrail_tripped"
    response_id: str
    item_id: str
    guardrail: str


class AgentHandedOver(_AgentEvent):
    """Another agent of the server goes on with the conversation; `main` answered the call."""

    type: Literal["agent_handed_over"] = "agent_handed_over"
    previous: str
    current: str


class AgentPaused(_AgentEvent):
    """Somebody made a sound: the agent is silent until it knows whether it is interrupted."""

    type: Literal["agent_paused"] = "agent_paused"


class AgentResumed(_AgentEvent):
    """It was no interruption, and the reply goes on where it stopped.

    cause: noise, backchannel, few_words, echo, short, or unconfirmed
    """

    type: Literal["agent_resumed"] = "agent_resumed"
    cause: str


class AgentTurnMeasured(_AgentEvent):
    """How long each step from somebody's last word to the first sound of the reply took."""

    type: Literal["agent_turn_measured"] = "agent_turn_measured"
    timings: TurnTimings


class AgentPlayoutProgress(_AgentEvent):
    """You hear the reply now up to here: `heard_characters` of its words, `heard_ms` of its audio.

    For clients that report their playout (`client_playout_report`).
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
    type: Literal["agent_response_tool_use_delta"] = "agent_response_tool_use_delta"
    response_id: str
    item_id: str
    tool_use: ToolUse


class AgentResponseToolUseDone(_AgentEvent):
    """A tool is called. `is_client_tool`: the client must answer with `client_tool_result`."""

    type: Literal["agent_response_tool_use_done"] = "agent_response_tool_use_done"
    response_id: str
    item_id: str
    tool_use: ToolUse
    is_client_tool: bool = False


class AgentToolApprovalRequired(_AgentEvent):
    """A tool may only run once somebody allows it with `client_tool_approval`; silence means no.

    server_label: the provider's tool server that will run it; empty for the agent's own tools
    """

    type: Literal["agent_tool_approval_required"] = "agent_tool_approval_required"
    tool_use: ToolUse
    server_label: str = ""
    timeout_ms: int


class AgentResponseToolResult(_AgentEvent):
    type: Literal["agent_response_tool_result"] = "agent_response_tool_result"
    tool_result: ToolResult


class AgentInputTranscriptionDelta(_AgentEvent):
    type: Literal["agent_input_transcription_delta"] = "agent_input_transcription_delta"
    item_id: str
    delta: str


class AgentInputTranscriptionDone(_AgentEvent):
    """`is_posted`: it was written in the room's chat, where everybody has read it."""

    type: Literal["agent_input_transcription_done"] = "agent_input_transcription_done"
    transcript: str
    item_id: str
    uid: int | None = None
    is_posted: bool = False
    input_tokens: int | None = None
    output_tokens: int | None = None


class AgentInputStarted(_AgentEvent):
    """`uid`: who seems to speak, where that is known."""

    type: Literal["agent_input_started"] = "agent_input_started"
    item_id: str
    audio_start_ms: int
    uid: int | None = None


class AgentInputDone(_AgentEvent):
    type: Literal["agent_input_done"] = "agent_input_done"
    item_id: str
    audio_end_ms: int
    uid: int | None = None


class AgentLimitNear(_AgentEvent):
    """The call will end for this exit reason; in `ends_in_ms`, where time is what runs out."""

    type: Literal["agent_limit_near"] = "agent_limit_near"
    reason: str
    ends_in_ms: int | None = None


class AgentConnectionChanged(_AgentEvent):
    """The model was lost (`reconnecting`) or is back (`open`); the call goes on meanwhile."""

    type: Literal["agent_connection_changed"] = "agent_connection_changed"
    status: Literal["open", "reconnecting", "closed"]


class AgentError(_AgentEvent):
    """error_type: `client` (your event was wrong), `provider` or `agent`."""

    type: Literal["agent_error"] = "agent_error"
    error_type: str
    code: str
    message: str


ServerEvent = Annotated[
    ServerSessionCreated
    | ServerSessionUpdated
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
    | AgentPaused
    | AgentResumed
    | AgentTurnMeasured
    | AgentPlayoutProgress
    | AgentPlayoutDone
    | AgentResponseToolUseDelta
    | AgentResponseToolUseDone
    | AgentToolApprovalRequired
    | AgentResponseToolResult
    | AgentInputTranscriptionDelta
    | AgentInputTranscriptionDone
    | AgentInputStarted
    | AgentInputDone
    | AgentLimitNear
    | AgentConnectionChanged
    | AgentError,
    Field(discriminator="type"),
]

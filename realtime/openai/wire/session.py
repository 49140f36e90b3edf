"""The session object of OpenAI's Realtime protocol and the parts it is made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)

from realtime.lenient_parsing import Finite, Word, note_of, read_tolerantly
from realtime.openai.wire.base import WireObject

PCM_SAMPLE_RATE_HZ: Literal[24_000] = 24_000
"""The only PCM rate of the protocol, in both directions."""


class PcmFormat(WireObject):
    """PCM16 little-endian mono."""

    type: Literal["audio/pcm"] = "audio/pcm"
    rate: Literal[24_000] = PCM_SAMPLE_RATE_HZ


class PcmuFormat(WireObject):
    """G.711 u-law at 8 kHz."""

    type: Literal["audio/pcmu"] = "audio/pcmu"


class PcmaFormat(WireObject):
    """G.711 a-law at 8 kHz."""

    type: Literal["audio/pcma"] = "audio/pcma"


AudioFormat = Annotated[PcmFormat | PcmuFormat | PcmaFormat, Field(discriminator="type")]


class NoiseReduction(WireObject):
    """Cleaning of the input before turn detection and model hear it."""

    type: Literal["near_field", "far_field"]
    strength: float | None = None


class Transcription(WireObject):
    """Transcription of the user's speech; independent of the model's own understanding."""

    model: str | None = None
    language: str | None = None
    languages: list[str] | None = None
    prompt: str | None = None
    keywords: list[str] | None = None
    delay: Literal["minimal", "low", "medium", "high", "xhigh"] | None = None


class ServerVad(WireObject):
    """Turns end after a silence of `silence_duration_ms`."""

    type: Literal["server_vad"] = "server_vad"
    threshold: float | None = Field(default=None, ge=0, le=1)
    prefix_padding_ms: int | None = Field(default=None, ge=0)
    silence_duration_ms: int | None = Field(default=None, ge=0)
    idle_timeout_ms: int | None = Field(default=None, ge=0)
    create_response: bool | None = None
    interrupt_response: bool | None = None


class SemanticVad(WireObject):
    """Turns end when what was said sounds complete."""

    type: Literal["semantic_vad"] = "semantic_vad"
    eagerness: Literal["low", "medium", "high", "auto"] | None = None
    create_response: bool | None = None
    interrupt_response: bool | None = None


TurnDetection = Annotated[ServerVad | SemanticVad, Field(discriminator="type")]


class CustomVoice(WireObject):
    """A voice by id instead of by name."""

    id: str


class AudioInput(WireObject):
    """The user's side. A null turns the thing off; an absent field leaves it as it was."""

    format: AudioFormat | None = None
    noise_reduction: NoiseReduction | None = None
    transcription: Transcription | None = None
    turn_detection: TurnDetection | None = None


class AudioOutput(WireObject):
    """The model's voice."""

    format: AudioFormat | None = None
    voice: str | CustomVoice | None = None
    speed: float | None = Field(default=None, ge=0.25, le=1.5)


class SessionAudio(WireObject):
    """Both sides' audio settings."""

    input: AudioInput | None = None
    output: AudioOutput | None = None


class FunctionTool(WireObject):
    """A function the model may call; `parameters` is a JSON Schema."""

    type: Literal["function"] = "function"
    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None


class McpTool(WireObject):
    """An MCP server whose tools the provider calls by itself."""

    type: Literal["mcp"] = "mcp"
    server_label: str
    server_url: str | None = None
    connector_id: str | None = None
    tunnel_id: str | None = None
    authorization: str | None = Field(default=None, repr=False)
    headers: dict[str, str] | None = Field(default=None, repr=False)
    allowed_tools: list[str] | dict[str, Any] | None = None
    require_approval: Literal["always", "never"] | dict[str, Any] | None = None
    server_description: str | None = None
    defer_loading: bool | None = None
    allowed_callers: list[str] | None = None


Tool = Annotated[FunctionTool | McpTool, Field(discriminator="type")]


class FunctionToolChoice(WireObject):
    """The model must call this function."""

    type: Literal["function"] = "function"
    name: str


class McpToolChoice(WireObject):
    """The model must use this MCP server."""

    type: Literal["mcp"] = "mcp"
    server_label: str
    name: str | None = None


ToolChoice = (
    Literal["auto", "none", "required"]
    | Annotated[FunctionToolChoice | McpToolChoice, Field(discriminator="type")]
)

MaxOutputTokens = Annotated[int, Field(ge=1)] | Literal["inf"]
OutputModalities = Annotated[list[Literal["audio", "text"]], Field(min_length=1, max_length=1)]


class Reasoning(WireObject):
    """For reasoning models only."""

    effort: Literal["minimal", "low", "medium", "high", "xhigh"] | None = None


class PromptReference(WireObject):
    """A prompt stored at the provider."""

    id: str
    version: str | None = None
    variables: dict[str, Any] | None = None


class RetentionRatio(WireObject):
    """The share of a full context that survives a truncation."""

    type: Literal["retention_ratio"] = "retention_ratio"
    retention_ratio: float = Field(ge=0, le=1)
    token_limits: dict[str, Any] | None = None


class Tracing(WireObject):
    """Labels of the provider's trace of the session."""

    workflow_name: str | None = None
    group_id: str | None = None
    metadata: Any = None


class SessionHead(WireObject):
    """The fields of a session that are needed here; all others are ignored."""

    type: str = ""
    id: Word | None = None
    object: str | None = None
    expires_at: Finite | None = None
    model: str | None = None


class Session(SessionHead):
    """The settings of a session, all of them or, in an update, those that change."""

    type: Literal["realtime", "transcription"] = "realtime"
    output_modalities: OutputModalities | None = None
    instructions: str | None = None
    audio: SessionAudio | None = None
    tools: list[Tool] | None = None
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    reasoning: Reasoning | None = None
    max_output_tokens: MaxOutputTokens | None = None
    truncation: Literal["auto", "disabled"] | RetentionRatio | None = None
    tracing: Literal["auto"] | Tracing | None = None
    prompt: PromptReference | None = None
    include: list[str] | None = None


def _read_reported(
    value: Any, handler: ValidatorFunctionWrapHandler, info: ValidationInfo
) -> Session | SessionHead:
    try:
        session: Session | SessionHead = handler(value)
    except ValidationError:
        given = value if isinstance(value, Mapping) else {}
        session = read_tolerantly(SessionHead.model_validate, given, note=note_of(info))
    return session


ReportedSession = Annotated[
    Session | SessionHead, Field(union_mode="left_to_right"), WrapValidator(_read_reported)
]
"""A session as the provider reports it: one that we do not fully understand is still a session."""

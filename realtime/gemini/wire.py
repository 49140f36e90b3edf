"""Gemini Live's messages, as far as we use them.

The wire is protobuf's JSON: camelCase is written, camelCase and snake_case are read, a null is an
absent field, an unknown field is no error.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from typing import Annotated, Any

from pydantic import (
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)
from pydantic.alias_generators import to_camel

from realtime.lenient_parsing import Count, Piece, Word, clean, read_tolerantly
from realtime.struct import InvalidEventError, parse_json_object
from untrusted.json_reader import InvalidJsonError, read_object

JsonObject = dict[str, Any]


class GeminiObject(BaseModel):
    """A JSON object of the protocol."""

    model_config = ConfigDict(
        frozen=True, extra="ignore", alias_generator=to_camel, validate_by_name=True
    )

    @model_validator(mode="before")
    @classmethod
    def _drop_nulls(cls, values: Any) -> Any:
        if isinstance(values, dict):
            return {name: value for name, value in values.items() if value is not None}
        return values


class OpenObject(GeminiObject):
    """One whose unknown fields are kept."""

    model_config = ConfigDict(extra="allow")


# -- both ways ---------------------------------------------------------------------------------


def _forget(_path: str) -> None:
    pass


def _read_args(value: Any) -> Any:
    """Arguments, also where they came as JSON text."""
    if isinstance(value, str):
        try:
            value = read_object(value)
        except InvalidJsonError:
            return value
    return clean(value)


class Blob(GeminiObject):
    """Bytes of a kind, in base64."""

    mime_type: str = ""
    data: str = ""

    @property
    def size_bytes(self) -> int:
        """The size in bytes."""
        return len(self.data) * 3 // 4 - self.data.count("=", -2)


class FunctionCall(GeminiObject):
    """The model wants a function called. Vertex may leave out the id."""

    id: Word | None = None
    name: Word = ""
    args: Annotated[JsonObject, BeforeValidator(_read_args)] = Field(default_factory=dict)


class FunctionResponse(GeminiObject):
    """The result of a function. scheduling: delivery of the result of a non-blocking call."""

    id: str | None = None
    name: str | None = None
    response: JsonObject
    scheduling: str | None = None


class Part(GeminiObject):
    """A piece of a message; a thought is not meant for people."""

    text: Piece | None = None
    thought: bool = False
    inline_data: Blob | None = None
    function_call: FunctionCall | None = None
    function_response: FunctionResponse | None = None


class Content(GeminiObject):
    """A message of the conversation."""

    role: str | None = None
    parts: list[Part] = Field(default_factory=list)


# -- from the server ---------------------------------------------------------------------------


class Transcription(GeminiObject):
    """More of what was said. `finished` is not to be waited for: it may never come."""

    text: Piece = ""
    finished: bool = False


class ServerContent(GeminiObject):
    """The turn goes on; often empty."""

    model_turn: Content | None = None
    input_transcription: Transcription | None = None
    output_transcription: Transcription | None = None
    interim_input_transcription: Transcription | None = None
    interrupted: bool = False
    generation_complete: bool = False
    turn_complete: bool = False
    turn_complete_reason: str = ""
    interaction_status: str = ""

    @property
    def is_turn_over(self) -> bool:
        """Newer servers say when nothing more comes; of others the turn's end must do."""
        if self.interaction_status.endswith("UNSPECIFIED") or not self.interaction_status:
            return self.turn_complete
        return self.interaction_status == "IDLE"


class SetupComplete(GeminiObject):
    """The session is open."""

    session_id: Word | None = None


class ToolCall(GeminiObject):
    """Functions to call, side by side."""

    function_calls: list[FunctionCall] = Field(default_factory=list)


class ToolCallCancellation(GeminiObject):
    """Calls whose answers are not wanted any more."""

    ids: list[Word] = Field(default_factory=list)


class ModalityTokens(GeminiObject):
    """Tokens of one kind."""

    modality: str = ""
    token_count: Count = 0


class UsageMetadata(GeminiObject):
    """Tokens of a turn."""

    prompt_token_count: Count = 0
    cached_content_token_count: Count = 0
    response_token_count: Count = 0
    tool_use_prompt_token_count: Count = 0
    thoughts_token_count: Count = 0
    total_token_count: Count = 0
    prompt_tokens_details: list[ModalityTokens] = Field(default_factory=list)
    response_tokens_details: list[ModalityTokens] = Field(default_factory=list)


class GoAway(GeminiObject):
    """The server will close; `time_left` as in "10s"."""

    time_left: str | None = None


class SessionResumptionUpdate(GeminiObject):
    """The handle with which a later session may go on."""

    new_handle: str = ""
    resumable: bool = False


class VoiceActivity(GeminiObject):
    """The user began or ended to speak; `audio_offset` as in "1.25s"."""

    type: Annotated[
        str,
        Field(validation_alias=AliasChoices("type", "voiceActivityType", "voice_activity_type")),
    ] = ""
    audio_offset: str | None = None


class VadSignal(GeminiObject):
    """The same in its older form."""

    vad_signal_type: str = ""


def _presence(value: Any) -> Any:
    """An object: that it is there is what counts."""
    return value if isinstance(value, dict | SetupComplete) else {}


class ServerMessage(OpenObject):
    """Whatever came in one frame: several of these may be there at once."""

    setup_complete: Annotated[SetupComplete, BeforeValidator(_presence)] | None = None
    server_content: ServerContent | None = None
    tool_call: ToolCall | None = None
    tool_call_cancellation: ToolCallCancellation | None = None
    usage_metadata: UsageMetadata | None = None
    go_away: GoAway | None = None
    session_resumption_update: SessionResumptionUpdate | None = None
    voice_activity: VoiceActivity | None = None
    voice_activity_detection_signal: VadSignal | None = None


# -- to the server -----------------------------------------------------------------------------


class Nothing(GeminiObject):
    """`{}`: that the field is there is all it says."""


class Setup(OpenObject):
    """The first message. Only what is set is sent: a field that the model lacks fails it whole."""

    model: str
    generation_config: JsonObject | None = None
    system_instruction: Content | None = None
    tools: list[JsonObject] | None = None
    realtime_input_config: JsonObject | None = None
    session_resumption: JsonObject | None = None
    context_window_compression: JsonObject | None = None
    input_audio_transcription: JsonObject | None = None
    output_audio_transcription: JsonObject | None = None


class ClientContent(GeminiObject):
    """Messages for the conversation; a reply to them is wanted when the turn is complete."""

    turns: list[Content] | None = None
    turn_complete: bool


class RealtimeInput(GeminiObject):
    """Input as it happens; exactly one of the fields."""

    audio: Blob | None = None
    video: Blob | None = None
    text: str | None = None
    audio_stream_end: bool | None = None
    activity_start: Nothing | None = None
    activity_end: Nothing | None = None


class ToolResponse(GeminiObject):
    """Answers to calls."""

    function_responses: list[FunctionResponse]


class ToolSet(GeminiObject):
    """Tools that replace those before."""

    tools: list[JsonObject]


class ContextUpdate(GeminiObject):
    """The part of the setup that may change within a session."""

    system_instruction: Content | None = None
    tools: ToolSet | None = None


class ClientMessage(GeminiObject):
    """One frame; exactly one of these."""

    setup: Setup | None = None
    client_content: ClientContent | None = None
    realtime_input: RealtimeInput | None = None
    tool_response: ToolResponse | None = None
    context_update: ContextUpdate | None = None

    @property
    def is_written_turn(self) -> bool:
        """True if it stops a reply in progress."""
        has_text = self.realtime_input is not None and self.realtime_input.text is not None
        return self.client_content is not None or has_text


# -- between text and messages -----------------------------------------------------------------


def parse(text: str | bytes, *, note: Callable[[str], None] = _forget) -> ServerMessage:
    """Read a frame; what is wrong with it and not needed is left out.

    note: takes the path of each thing that was left out

    Raises:
        InvalidEventError: not a JSON object, or nothing of what it is about can be read.
    """
    try:
        return ServerMessage.model_validate_json(text)
    except ValidationError:
        message = parse_json_object(text, streams=("text",))
    left_out: list[str] = []
    read = read_tolerantly(ServerMessage.model_validate, message, note=left_out.append)
    if not read.model_fields_set and left_out:
        # Nothing of what it is about could be read.
        raise InvalidEventError(
            f"{left_out[0]}: not what it must be", code="invalid_value", param=left_out[0]
        )
    for path in left_out:
        note(path)
    return read


def serialize(message: ClientMessage) -> str:
    """As camelCase JSON with the fields that are set."""
    return message.model_dump_json(by_alias=True, exclude_unset=True, exclude_none=True)


def to_blob(data: bytes, mime_type: str) -> Blob:
    """Bytes for the wire."""
    return Blob(mime_type=mime_type, data=b64encode(data).decode("ascii"))


def duration_ms(text: str | None) -> int | None:
    """Milliseconds of a protobuf duration such as "10s"; None when it is none."""
    if text is None or not text.endswith("s"):
        return None
    try:
        seconds = float(text[:-1])
    except ValueError:
        return None
    return max(0, round(seconds * 1000)) if abs(seconds) < 1e9 else None

"""Events from clients to an agent: the `ClientEvent` union.

A client event is always either carried out or answered with `agent_error`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, JsonValue, TypeAdapter, ValidationError, model_validator

from conversation.events.parts import AudioFormat, Event
from conversation.image_assembly import MAX_CHUNKS
from conversation.turn_taking.interrupt_policy import InterruptScope
from untrusted.images import MAX_BASE64_CHARACTERS, ImageType
from untrusted.json_reader import InvalidJsonError, read_object
from untrusted.validation import first_validation_error

MAX_TEXT_CHARACTERS = 8_000
MAX_AGENT_CHARACTERS = 32
MAX_AUDIO_CHARACTERS = 512 * 1024
"""Of the base64 in one event: four seconds at 48 kHz."""

MAX_PLAYOUT_DELAY_MS = 10_000
MAX_FIELDS = 16
"""Of an event: every fault of a message costs time, so that many of them are refused at once."""

MAX_OUTPUT_PARTS = 1_000
MAX_ERROR_CHARACTERS = 700
"""Of the text of a refusal: it names fields of the event, which may be long."""


class _ClientEvent(Event):
    """agent: of several agents in the call, the one that is meant; empty: all, or the moderator's
    choice
    """

    session_id: str = ""
    agent: str = Field(default="", max_length=MAX_AGENT_CHARACTERS)


class ClientSessionCreate(_ClientEvent):
    type: Literal["client_session_create"] = "client_session_create"
    config: dict[str, Any] = Field(default_factory=dict)


class ClientSessionEnd(_ClientEvent):
    """Ask the agent to end the call."""

    type: Literal["client_session_end"] = "client_session_end"


class ClientResponseCreate(_ClientEvent):
    type: Literal["client_response_create"] = "client_response_create"


class ClientResponseCancel(_ClientEvent):
    """Silence the agent.

    playback_only: the model goes on with its reply, of which nothing more is heard
    cancel_response_only: the model stops, and what came of its reply is played
    force_response_cancel: ask the model to stop even if no reply of it is known to be in progress
    """

    type: Literal["client_response_cancel"] = "client_response_cancel"
    playback_only: bool = False
    cancel_response_only: bool = False
    force_response_cancel: bool = False

    @model_validator(mode="after")
    def _check_scope(self) -> ClientResponseCancel:
        if self.playback_only and (self.cancel_response_only or self.force_response_cancel):
            raise ValueError("playback_only leaves the response as it is: set it alone")
        return self

    @property
    def scope(self) -> InterruptScope:
        """Playback, generation or both."""
        if self.playback_only:
            return InterruptScope.PLAYBACK
        return InterruptScope.GENERATION if self.cancel_response_only else InterruptScope.ALL


class ImageFormat(Event):
    type: ImageType


class ClientImageAppend(_ClientEvent):
    """Show the model an image; without `format` its bytes tell the type."""

    type: Literal["client_image_append"] = "client_image_append"
    image: str = Field(max_length=MAX_BASE64_CHARACTERS, repr=False)
    format: ImageFormat | None = None


class ClientImageChunk(_ClientEvent):
    """A piece of the base64 of an image that is larger than a message: `index` of `count`.

    id: of the image, the sender's choice
    """

    type: Literal["client_image_chunk"] = "client_image_chunk"
    id: str = Field(min_length=1, max_length=64)
    index: int = Field(ge=0, lt=MAX_CHUNKS)
    count: int = Field(ge=1, le=MAX_CHUNKS)
    data: str = Field(min_length=1, max_length=MAX_BASE64_CHARACTERS, repr=False)
    format: ImageFormat | None = None


class ClientTextAppend(_ClientEvent):
    type: Literal["client_text_append"] = "client_text_append"
    text: str = Field(min_length=1, max_length=MAX_TEXT_CHARACTERS)


class ClientAudioAppend(_ClientEvent):
    type: Literal["client_audio_append"] = "client_audio_append"
    audio: str = Field(max_length=MAX_AUDIO_CHARACTERS, repr=False)
    format: AudioFormat


class ClientAudioCommit(_ClientEvent):
    type: Literal["client_audio_commit"] = "client_audio_commit"


class ClientActivityStart(_ClientEvent):
    """Push-to-talk: hear the sender from now on, and silence the agent (turn detection off)."""

    type: Literal["client_activity_start"] = "client_activity_start"


class ClientActivityEnd(_ClientEvent):
    """Push-to-talk: end the sender's turn and answer it."""

    type: Literal["client_activity_end"] = "client_activity_end"


class ClientPlayoutReport(_ClientEvent):
    """Playout delay of a client, about once a second while the agent speaks.

    Either the delay of its own buffers, or the position in an item at this moment. From then on the
    client gets `agent_playout_progress` with the words that it hears.
    """

    type: Literal["client_playout_report"] = "client_playout_report"
    playout_delay_ms: float | None = Field(default=None, ge=0, le=MAX_PLAYOUT_DELAY_MS)
    round_trip_ms: float | None = Field(default=None, ge=0, le=MAX_PLAYOUT_DELAY_MS)
    item_id: str | None = Field(default=None, min_length=1, max_length=256)
    content_index: int = Field(default=0, ge=0, le=1_000)
    played_ms: float | None = Field(default=None, ge=0, le=24 * 3600 * 1000)

    @model_validator(mode="after")
    def _check_content(self) -> ClientPlayoutReport:
        if (self.item_id is None) != (self.played_ms is None):
            raise ValueError("item_id and played_ms belong together")
        if self.playout_delay_ms is None and self.item_id is None:
            raise ValueError("needs playout_delay_ms, or item_id with played_ms")
        return self


class ClientToolResult(_ClientEvent):
    """Answer a pass-through tool call with any JSON value; text is passed on as it is.

    start_response: let the model reply to the result; false for a result that it only has to know
    """

    type: Literal["client_tool_result"] = "client_tool_result"
    id: str
    name: str
    output: JsonValue
    start_response: bool = True


class ClientToolApproval(_ClientEvent):
    """Allow or forbid a tool call. `always`: the same for this tool until the call ends."""

    type: Literal["client_tool_approval"] = "client_tool_approval"
    id: str
    approve: bool
    always: bool = False
    reason: str = Field(default="", max_length=1_000)


ClientEvent = Annotated[
    ClientSessionCreate
    | ClientSessionEnd
    | ClientResponseCreate
    | ClientResponseCancel
    | ClientImageAppend
    | ClientImageChunk
    | ClientTextAppend
    | ClientAudioAppend
    | ClientAudioCommit
    | ClientActivityStart
    | ClientActivityEnd
    | ClientPlayoutReport
    | ClientToolResult
    | ClientToolApproval,
    Field(discriminator="type"),
]

_CLIENT_EVENT: TypeAdapter[ClientEvent] = TypeAdapter(ClientEvent)


class InvalidClientEventError(ValueError):
    """A message is not a client event; the text names the place and the fault."""


def parse_client_event(text: str | bytes) -> ClientEvent:
    """Parse one client event from JSON.

    Raises:
        InvalidClientEventError: not JSON, an unknown type, or an invalid field.
    """
    try:
        message = read_object(text)
    except InvalidJsonError as error:
        raise InvalidClientEventError(f"message: {error}") from None
    for place, value in (("message", message), ("format", message.get("format"))):
        if isinstance(value, dict) and len(value) > MAX_FIELDS:
            raise InvalidClientEventError(f"{place}: more than {MAX_FIELDS} fields")
    if isinstance(output := message.get("output"), list) and len(output) > MAX_OUTPUT_PARTS:
        raise InvalidClientEventError(f"output: more than {MAX_OUTPUT_PARTS} parts")
    try:
        return _CLIENT_EVENT.validate_python(message)
    except ValidationError as error:
        text = first_validation_error(error, whole="message")[:MAX_ERROR_CHARACTERS]
        raise InvalidClientEventError(text) from None

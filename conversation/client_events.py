"""What people's programs ask of an agent: the `ClientEvent` union.

A client event is always either carried out or answered with `agent_error`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError, model_validator

from conversation.event_parts import AudioFormat, Event
from json_reader import InvalidJsonError, read_object
from validation import first_fault

MAX_TEXT_CHARACTERS = 8_000
MAX_BASE64_CHARACTERS = 1_400_000
MAX_PLAYOUT_DELAY_MS = 10_000
MAX_FIELDS = 16
"""Of an event: every fault of a message costs time, so that many of them are refused at once."""

MAX_OUTPUT_PARTS = 1_000


class _ClientEvent(Event):
    session_id: str = ""


class ClientSessionCreate(_ClientEvent):
    type: Literal["client_session_create"] = "client_session_create"
    config: dict[str, Any] = Field(default_factory=dict)


class ClientSessionEnd(_ClientEvent):
    """Ask the agent to end the call."""

    type: Literal["client_session_end"] = "client_session_end"


class ClientResponseCreate(_ClientEvent):
    type: Literal["client_response_create"] = "client_response_create"


class ClientResponseCancel(_ClientEvent):
    type: Literal["client_response_cancel"] = "client_response_cancel"


class ImageFormat(Event):
    type: Literal["image/jpeg", "image/png"] = "image/jpeg"


class ClientImageAppend(_ClientEvent):
    type: Literal["client_image_append"] = "client_image_append"
    image: str = Field(max_length=MAX_BASE64_CHARACTERS)
    format: ImageFormat = ImageFormat()


class ClientTextAppend(_ClientEvent):
    type: Literal["client_text_append"] = "client_text_append"
    text: str = Field(min_length=1, max_length=MAX_TEXT_CHARACTERS)


class ClientAudioAppend(_ClientEvent):
    type: Literal["client_audio_append"] = "client_audio_append"
    audio: str = Field(max_length=MAX_BASE64_CHARACTERS)
    format: AudioFormat


class ClientAudioCommit(_ClientEvent):
    type: Literal["client_audio_commit"] = "client_audio_commit"


class ClientActivityStart(_ClientEvent):
    """Push-to-talk: from now on the sender is heard, and the agent silent (turn detection off)."""

    type: Literal["client_activity_start"] = "client_activity_start"


class ClientActivityEnd(_ClientEvent):
    """Push-to-talk: the sender's turn is over and should be answered."""

    type: Literal["client_activity_end"] = "client_activity_end"


class ClientPlayoutReport(_ClientEvent):
    """How late the client hears what it receives: about once a second while the agent speaks.

    Either the delay of its own buffers, or how much of an item it has played at this moment. From
    then on `agent_playout_progress` tells it which words it hears.
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
    type: Literal["client_tool_result"] = "client_tool_result"
    id: str
    name: str
    output: (
        str | Annotated[list[dict[str, Any]], Field(max_length=MAX_OUTPUT_PARTS, fail_fast=True)]
    )


class ClientToolApproval(_ClientEvent):
    """Allow or forbid a tool call. `always`: the same goes for this tool until the call ends."""

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
    """A client's message is not a client event; the text says what is wrong and where."""


def parse_client_event(text: str | bytes) -> ClientEvent:
    """One client event from its JSON.

    Raises:
        InvalidClientEventError: not JSON, an unknown type, or a field that is wrong.
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
        first = first_fault(error)
        place = (first.field or "message")[:200]
        raise InvalidClientEventError(f"{place}: {first.text[:500]}") from None

"""The eleven messages that a client may send."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from realtime.openai.wire.base import ClientMessage
from realtime.openai.wire.items import ClientItem, ResponseParams
from realtime.openai.wire.session import Session

MAX_APPEND_CHARACTERS = 15 * 1024 * 1024 * 4 // 3
"""15 MiB of audio as base64: the provider's limit for one append."""


class SessionUpdate(ClientMessage):
    """Change the session's settings: only the fields that are set."""

    type: Literal["session.update"] = "session.update"
    session: Session


class InputAudioBufferAppend(ClientMessage):
    """User audio in base64; the provider never acknowledges it."""

    type: Literal["input_audio_buffer.append"] = "input_audio_buffer.append"
    audio: str = Field(repr=False, max_length=MAX_APPEND_CHARACTERS)


class InputAudioBufferCommit(ClientMessage):
    """Make the appended audio a user item; asks for no reply."""

    type: Literal["input_audio_buffer.commit"] = "input_audio_buffer.commit"


class InputAudioBufferClear(ClientMessage):
    """Forget appended audio."""

    type: Literal["input_audio_buffer.clear"] = "input_audio_buffer.clear"


class ConversationItemCreate(ClientMessage):
    """Add an item after `previous_item_id` (`root`: before all), or at the end."""

    type: Literal["conversation.item.create"] = "conversation.item.create"
    item: ClientItem
    previous_item_id: str | None = None


class ConversationItemRetrieve(ClientMessage):
    """Ask for the provider's copy of an item, audio included."""

    type: Literal["conversation.item.retrieve"] = "conversation.item.retrieve"
    item_id: str


class ConversationItemTruncate(ClientMessage):
    """Forget what was not heard of an assistant item."""

    type: Literal["conversation.item.truncate"] = "conversation.item.truncate"
    item_id: str
    content_index: int = Field(ge=0)
    audio_end_ms: int = Field(ge=0)


class ConversationItemDelete(ClientMessage):
    """Forget an item."""

    type: Literal["conversation.item.delete"] = "conversation.item.delete"
    item_id: str


class ResponseCreate(ClientMessage):
    """Ask for a reply."""

    type: Literal["response.create"] = "response.create"
    response: ResponseParams | None = None


class ResponseCancel(ClientMessage):
    """Stop a reply; without an id, the one in the default conversation."""

    type: Literal["response.cancel"] = "response.cancel"
    response_id: str | None = None


class OutputAudioBufferClear(ClientMessage):
    """Stop the provider's playout (WebRTC and SIP only)."""

    type: Literal["output_audio_buffer.clear"] = "output_audio_buffer.clear"


AnyClientEvent = (
    SessionUpdate
    | InputAudioBufferAppend
    | InputAudioBufferCommit
    | InputAudioBufferClear
    | ConversationItemCreate
    | ConversationItemRetrieve
    | ConversationItemTruncate
    | ConversationItemDelete
    | ResponseCreate
    | ResponseCancel
    | OutputAudioBufferClear
)
ClientEvent = Annotated[AnyClientEvent, Field(discriminator="type")]

"""The model's replies as they come, and the conversation items they are made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal


class ResponseStatus(StrEnum):
    """The end of a response, in OpenAI's words; other providers are mapped onto them."""

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


@dataclass(frozen=True, slots=True)
class OutOfBand:
    """Marks a reply outside of the conversation, in its request and in its events.

    key: of the request, by which its sender knows the reply; visible ASCII without spaces
    is_spoken: people are to hear it
    """

    key: str
    is_spoken: bool = False


@dataclass(frozen=True, slots=True)
class ResponseCreated:
    """A reply began; from here until its `ResponseDone` it is the active response.

    One that is `out_of_band` is not, and of its events nothing belongs to the conversation.
    """

    response_id: str
    metadata: Mapping[str, str] = field(default_factory=dict)
    out_of_band: OutOfBand | None = None


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
    """No more voice comes of one content part.

    is_complete: false if the provider was lost before it had sent all of it
    """

    response_id: str
    item_id: str
    content_index: int
    is_complete: bool = True


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
class Interrupted:
    """The provider itself cut its reply because the user spoke."""

    response_id: str | None = None


@dataclass(frozen=True, slots=True)
class GenerationDone:
    """No more audio or text comes for this response, though its turn may not be over."""

    response_id: str


@dataclass(frozen=True, slots=True)
class ResponseDone:
    """The reply's turn is over at the provider. What was heard of it is another question.

    metadata: labels that the reply was requested with, as the provider repeats them
    """

    response_id: str
    status: ResponseStatus
    reason: str | None = None
    usage: Usage = field(default_factory=Usage)
    metadata: Mapping[str, str] = field(default_factory=dict)
    out_of_band: OutOfBand | None = None


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

"""What the agent asks of a model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class AppendAudio:
    """User audio, PCM16 mono at the rate of the model's capability record."""

    pcm: bytes


@dataclass(frozen=True, slots=True)
class CommitAudio:
    """End the user's turn by hand (turn detection off)."""


@dataclass(frozen=True, slots=True)
class ClearAudio:
    """Forget user audio that is not yet part of the conversation."""


@dataclass(frozen=True, slots=True)
class AddText:
    """A written message; `system` steers the model without being said by anyone."""

    text: str
    role: Literal["user", "assistant", "system"] = "user"
    item_id: str | None = None


@dataclass(frozen=True, slots=True)
class AddImage:
    """A picture the user shows, encoded as its MIME type says."""

    data: bytes
    mime_type: Literal["image/jpeg", "image/png"] = "image/jpeg"
    detail: Literal["auto", "low", "high"] | None = None


@dataclass(frozen=True, slots=True)
class AddToolCall:
    """A call that was made in an earlier session, told again; its `AddToolOutput` follows."""

    call_id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class AddToolOutput:
    """The answer to a `ToolCallRequested`; the model sees `output` as text."""

    call_id: str
    output: str


@dataclass(frozen=True, slots=True)
class AnswerToolApproval:
    """The answer to a `ToolApprovalRequested`."""

    request_id: str
    is_approved: bool
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class CreateResponse:
    """Ask for a reply; the adapter holds it back while another response is active."""

    instructions: str | None = None


@dataclass(frozen=True, slots=True)
class CancelResponse:
    """Stop the active reply; a cancel that comes too late is not an error."""

    response_id: str | None = None


@dataclass(frozen=True, slots=True)
class TruncateItem:
    """Tell the model what was heard: the first `audio_end_ms` of this content part."""

    item_id: str
    content_index: int
    audio_end_ms: int


@dataclass(frozen=True, slots=True)
class DeleteItem:
    """Make the model forget an item, for example one that was never heard."""

    item_id: str


@dataclass(frozen=True, slots=True)
class UpdateSettings:
    """Change the session: only the fields that are set. Keys as in `realtime.model.ModelSettings`."""

    changes: Mapping[str, Any]


ModelCommand = (
    AppendAudio
    | CommitAudio
    | ClearAudio
    | AddText
    | AddImage
    | AddToolCall
    | AddToolOutput
    | AnswerToolApproval
    | CreateResponse
    | CancelResponse
    | TruncateItem
    | DeleteItem
    | UpdateSettings
)

"""Commands from the agent to a model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

from realtime.events.output import OutOfBand
from untrusted.images import ImageType


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
    mime_type: ImageType = "image/jpeg"
    detail: Literal["auto", "low", "high"] | None = None


@dataclass(frozen=True, slots=True)
class AddToolCall:
    """A tool call of an earlier session, replayed; its `AddToolOutput` follows."""

    call_id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class AddToolOutput:
    """The answer to a `ToolCallRequested`; the model sees `output` as text.

    start_response: the model may reply to it; false: a silent result. A provider that continues
        after tool outputs on its own (`needs_response_after_tool` is false) still does so, except
        Gemini after a call of a non-blocking function.
    """

    call_id: str
    output: str
    start_response: bool = True


@dataclass(frozen=True, slots=True)
class AnswerToolApproval:
    """The answer to a `ToolApprovalRequested`."""

    request_id: str
    is_approved: bool
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class ItemReference:
    """An item of the conversation, among the `input_items` of a request for a reply."""

    item_id: str


MAX_METADATA: Final = 15
"""Pairs of a request for a reply; one more is the adapters'."""

MAX_METADATA_NAME_CHARACTERS: Final = 64
MAX_METADATA_VALUE_CHARACTERS: Final = 512

InputItem = AddText | AddImage | AddToolCall | AddToolOutput | ItemReference


@dataclass(frozen=True, slots=True)
class CreateResponse:
    """Ask for a reply; the adapter holds it back while another response is active.

    What is None is as the session has it. `Capabilities.reply_options` names what a model takes
    beside `instructions` and `metadata`.

    tools, tool_choice: as in `realtime.model.ModelSettings`
    metadata: comes back with `ResponseCreated` and `ResponseDone`; at most `MAX_METADATA` pairs
    input_items: what the model is shown in place of the conversation
    out_of_band: the reply does not become part of the conversation, and may be made beside another
        one; None: it does
    """

    instructions: str | None = None
    output_modality: Literal["audio", "text"] | None = None
    voice: str | None = None
    tools: tuple[Mapping[str, Any], ...] | None = None
    tool_choice: str | Mapping[str, Any] | None = None
    max_output_tokens: int | None = None
    metadata: Mapping[str, str] | None = None
    input_items: tuple[InputItem, ...] | None = None
    out_of_band: OutOfBand | None = None

    @property
    def is_plain(self) -> bool:
        """True without anything of its own: one reply answers several of these."""
        return self == _PLAIN

    def with_note(self, note: str) -> CreateResponse:
        """The same request with `note` for the model, for this reply alone."""
        if self.input_items is not None:
            return replace(self, input_items=(*self.input_items, AddText(note, "system")))
        told = note if self.instructions is None else f"{self.instructions}\n{note}"
        return replace(self, instructions=told)


_PLAIN: Final = CreateResponse()


@dataclass(frozen=True, slots=True)
class CancelResponse:
    """Stop the active reply; a cancel that comes too late is not an error."""

    response_id: str | None = None


@dataclass(frozen=True, slots=True)
class TruncateItem:
    """Cut a reply to what was heard: the first `audio_end_ms` of this content part.

    heard_text: the words of the item that were heard. The sender knows what was played and alone
        computes it; nothing else derives words from milliseconds.
    """

    item_id: str
    content_index: int
    audio_end_ms: int
    heard_text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class DeleteItem:
    """Make the model forget an item, for example one that was never heard."""

    item_id: str


@dataclass(frozen=True, slots=True)
class UpdateSettings:
    """Change the session: only the fields that are set. Keys as in `realtime.model.ModelSettings`."""

    changes: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class SendRaw:
    """An event in the provider's own words, sent as it is now or not at all.

    Nothing of it is remembered: another session of the conversation never gets it. Ids in it are the
    provider's own.
    """

    message: Mapping[str, Any] = field(repr=False)


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
    | SendRaw
)

"""Conversation items and responses of OpenAI's Realtime protocol."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Field,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)

from realtime.lenient_parsing import Count, Word, clean, note_of, read_tolerantly
from realtime.openai.wire.base import WireObject
from realtime.openai.wire.session import (
    AudioFormat,
    CustomVoice,
    MaxOutputTokens,
    OutputModalities,
    PromptReference,
    Reasoning,
    Tool,
    ToolChoice,
)

# -- items -------------------------------------------------------------------------------------

ItemStatus = Literal["in_progress", "completed", "incomplete"]


class _Item(WireObject):
    id: str | None = Field(default=None, max_length=512)
    object: Literal["realtime.item"] | None = None
    status: ItemStatus | None = None


class ContentPart(WireObject):
    """One piece of a message. Which of the fields count follows from `type`."""

    type: Literal["input_text", "input_audio", "input_image", "output_text", "output_audio"]
    text: str | None = None
    audio: str | None = Field(default=None, repr=False)
    transcript: str | None = None
    image_url: str | None = Field(default=None, repr=False)
    detail: Literal["auto", "low", "high"] | None = None


class MessageItem(_Item):
    """Something said, written or shown."""

    type: Literal["message"] = "message"
    role: Literal["user", "assistant", "system"]
    content: list[ContentPart]


class FunctionCallItem(_Item):
    """The model wants a function run; `arguments` is JSON text."""

    type: Literal["function_call"] = "function_call"
    call_id: str | None = None
    name: str
    arguments: str


class FunctionCallOutputItem(_Item):
    """The result of a function call."""

    type: Literal["function_call_output"] = "function_call_output"
    call_id: str
    output: str


class McpListToolsItem(_Item):
    """The tools an MCP server offers."""

    type: Literal["mcp_list_tools"] = "mcp_list_tools"
    server_label: str
    tools: list[dict[str, Any]]


class McpCallItem(_Item):
    """A tool call the provider made by itself."""

    type: Literal["mcp_call"] = "mcp_call"
    server_label: str
    name: str
    arguments: str
    output: str | None = None
    error: dict[str, Any] | str | None = None
    approval_request_id: str | None = None


class McpApprovalRequestItem(_Item):
    """The provider asks whether it may call this tool."""

    type: Literal["mcp_approval_request"] = "mcp_approval_request"
    server_label: str
    name: str
    arguments: str


class McpApprovalResponseItem(_Item):
    """Our answer to such a request."""

    type: Literal["mcp_approval_response"] = "mcp_approval_response"
    approval_request_id: str
    approve: bool
    reason: str | None = None


class ItemReference(WireObject):
    """An existing item, as input of an out-of-band response."""

    type: Literal["item_reference"] = "item_reference"
    id: str


class UnknownItem(WireObject):
    """An item of a kind, or in a shape, that this version does not know."""

    type: str = ""
    id: Word | None = None


ClientItem = Annotated[
    MessageItem
    | FunctionCallItem
    | FunctionCallOutputItem
    | McpListToolsItem
    | McpCallItem
    | McpApprovalRequestItem
    | McpApprovalResponseItem,
    Field(discriminator="type"),
]
"""An item that a client may create: nothing unknown passes."""

_KNOWN_ITEM: TypeAdapter[Any] = TypeAdapter(ClientItem)


def _read_item(value: Any, handler: ValidatorFunctionWrapHandler, info: ValidationInfo) -> Any:
    """An item; without what is wrong with it, if it can do without; of no known kind otherwise."""
    if not isinstance(value, Mapping):
        return handler(value)
    try:
        return _KNOWN_ITEM.validate_python(value)
    except ValidationError:
        note = note_of(info)
    try:
        return read_tolerantly(_KNOWN_ITEM.validate_python, _mended(value), note=note)
    except ValidationError:
        return read_tolerantly(UnknownItem.model_validate, value, note=note)


def _mended(item: Mapping[str, Any]) -> dict[str, Any]:
    """`item` with arguments as text and content as a list, which servers send in other forms."""
    mended = dict(item)
    if "arguments" in mended:
        mended["arguments"] = arguments_text(mended["arguments"])
    if mended.get("type") == "function_call":
        # The start of the item may have brought the name already; absent arguments are empty.
        mended = {"name": "", "arguments": ""} | mended
    if mended.get("type") == "message" and not isinstance(mended.get("content"), list):
        mended["content"] = []
    return mended


def arguments_text(value: Any) -> Any:
    """Arguments of a call as JSON text, if they came as the value itself or not at all."""
    match value:
        case None:
            return ""
        case str():
            return value
        case _:
            return json.dumps(clean(value), ensure_ascii=False)


Item = Annotated[
    ClientItem | UnknownItem, Field(union_mode="left_to_right"), WrapValidator(_read_item)
]
"""An item as the provider reports it."""

InputItem = Annotated[
    MessageItem
    | FunctionCallItem
    | FunctionCallOutputItem
    | McpListToolsItem
    | McpCallItem
    | McpApprovalRequestItem
    | McpApprovalResponseItem
    | ItemReference,
    Field(discriminator="type"),
]
"""An item as input of one response."""

# -- responses ---------------------------------------------------------------------------------


class ResponseAudioOutput(WireObject):
    """The voice of one response."""

    format: AudioFormat | None = None
    voice: str | CustomVoice | None = None


class ResponseAudio(WireObject):
    """Audio settings of one response."""

    output: ResponseAudioOutput | None = None


class ResponseParams(WireObject):
    """Parameters of `response.create` that override the session's."""

    instructions: str | None = None
    audio: ResponseAudio | None = None
    output_modalities: OutputModalities | None = None
    tools: list[Tool] | None = None
    tool_choice: ToolChoice | None = None
    max_output_tokens: MaxOutputTokens | None = None
    conversation: Literal["auto", "none"] | None = None
    metadata: dict[str, str] | None = Field(default=None, max_length=16)
    input: list[InputItem] | None = None
    prompt: PromptReference | None = None
    reasoning: Reasoning | None = None
    parallel_tool_calls: bool | None = None


class CachedTokenDetails(WireObject):
    """Sources of cached input tokens."""

    text_tokens: Count | None = None
    audio_tokens: Count | None = None
    image_tokens: Count | None = None


class InputTokenDetails(CachedTokenDetails):
    """Input tokens by kind."""

    cached_tokens: Count | None = None
    cached_tokens_details: CachedTokenDetails | None = None


class OutputTokenDetails(WireObject):
    """Output tokens by kind."""

    text_tokens: Count | None = None
    audio_tokens: Count | None = None


class ResponseUsage(WireObject):
    """Billed tokens of a response."""

    total_tokens: Count | None = None
    input_tokens: Count | None = None
    output_tokens: Count | None = None
    input_token_details: InputTokenDetails | None = None
    output_token_details: OutputTokenDetails | None = None


def as_details(error: Any) -> Any:
    """An error as an object: it may be a mere text, or wrapped once more."""
    while isinstance(error, Mapping) and "message" not in error and "error" in error:
        error = error["error"]
    return {"message": error} if isinstance(error, str) else error


class StatusError(WireObject):
    """The reason for a failed response."""

    type: Word | None = None
    code: Word | None = None
    message: Word | None = None


class StatusDetails(WireObject):
    """The reason for the end of a response, such as `turn_detected` or `client_cancelled`."""

    type: str | None = None
    reason: str | None = None
    error: Annotated[StatusError, BeforeValidator(as_details)] | None = None


class Response(WireObject):
    """A reply as the provider reports it, while it grows and when it is done.

    status: in_progress, completed, cancelled, incomplete or failed
    """

    id: Word = ""
    object: Literal["realtime.response"] = "realtime.response"
    status: str | None = None
    status_details: StatusDetails | None = None
    output: list[Item] | None = None
    conversation_id: str | None = None
    output_modalities: list[str] | None = None
    max_output_tokens: int | str | None = None
    audio: dict[str, Any] | None = None
    usage: ResponseUsage | None = None
    metadata: dict[str, Any] | None = None

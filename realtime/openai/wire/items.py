"""Conversation items and responses of OpenAI's Realtime protocol."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

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
    """What the function answered."""

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
    error: dict[str, Any] | None = None
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

    type: str
    id: str | None = None


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

Item = Annotated[ClientItem | UnknownItem, Field(union_mode="left_to_right")]
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
    """What `response.create` may ask differently from the session."""

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
    """Where cached input came from."""

    text_tokens: int | None = None
    audio_tokens: int | None = None
    image_tokens: int | None = None


class InputTokenDetails(CachedTokenDetails):
    """Input tokens by kind."""

    cached_tokens: int | None = None
    cached_tokens_details: CachedTokenDetails | None = None


class OutputTokenDetails(WireObject):
    """Output tokens by kind."""

    text_tokens: int | None = None
    audio_tokens: int | None = None


class ResponseUsage(WireObject):
    """What a response is billed for."""

    total_tokens: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    input_token_details: InputTokenDetails | None = None
    output_token_details: OutputTokenDetails | None = None


class StatusError(WireObject):
    """Why a response failed."""

    type: str | None = None
    code: str | None = None
    message: str | None = None


class StatusDetails(WireObject):
    """Why a response ended as it did, such as `turn_detected` or `client_cancelled`."""

    type: str | None = None
    reason: str | None = None
    error: StatusError | None = None


class Response(WireObject):
    """A reply as the provider reports it, while it grows and when it is done.

    status: in_progress, completed, cancelled, incomplete or failed
    """

    id: str
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

"""The provider's messages about its replies, and about MCP tools that it calls by itself."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from realtime.lenient_parsing import Count, Piece, Word
from realtime.openai.wire.base import ServerMessage, WireObject
from realtime.openai.wire.items import Item, Response, arguments_text

Arguments = Annotated[str, BeforeValidator(arguments_text)]
"""JSON text; servers that send the value itself mean the same."""

# -- the reply ---------------------------------------------------------------------------------


class ResponseCreated(ServerMessage):
    """A reply began."""

    type: Literal["response.created"] = "response.created"
    response: Response = Field(default_factory=Response)


class ResponseDone(ServerMessage):
    """A reply is over; its `status` says how."""

    type: Literal["response.done"] = "response.done"
    response: Response = Field(default_factory=Response)


class _OutputItem(ServerMessage):
    response_id: Word = ""
    output_index: Count = 0
    item: Item


class ResponseOutputItemAdded(_OutputItem):
    """A reply got an item, still empty."""

    type: Literal["response.output_item.added"] = "response.output_item.added"


class ResponseOutputItemDone(_OutputItem):
    """An item of a reply is complete, or was cut."""

    type: Literal["response.output_item.done"] = "response.output_item.done"


class _InItem(ServerMessage):
    response_id: Word = ""
    item_id: Word = ""
    output_index: Count = 0


class _InPart(_InItem):
    content_index: Count = 0


class Part(WireObject):
    """A content part of a reply: `audio` or `text`, unlike the names inside items."""

    type: str | None = None
    text: str | None = None
    transcript: str | None = None
    audio: str | None = Field(default=None, repr=False)


class ResponseContentPartAdded(_InPart):
    """A part began."""

    type: Literal["response.content_part.added"] = "response.content_part.added"
    part: Part = Field(default_factory=Part)


class ResponseContentPartDone(_InPart):
    """A part is complete, or was cut."""

    type: Literal["response.content_part.done"] = "response.content_part.done"
    part: Part = Field(default_factory=Part)


class ResponseOutputTextDelta(_InPart):
    """A piece of written text."""

    type: Literal["response.output_text.delta"] = "response.output_text.delta"
    delta: Piece


class ResponseOutputTextDone(_InPart):
    """All text of a part."""

    type: Literal["response.output_text.done"] = "response.output_text.done"
    text: str = ""


class ResponseOutputAudioTranscriptDelta(_InPart):
    """A piece of the words that the voice says."""

    type: Literal["response.output_audio_transcript.delta"] = (
        "response.output_audio_transcript.delta"
    )
    delta: Piece


class ResponseOutputAudioTranscriptDone(_InPart):
    """All words of a part."""

    type: Literal["response.output_audio_transcript.done"] = "response.output_audio_transcript.done"
    transcript: str = ""


class ResponseOutputAudioDelta(_InPart):
    """A piece of the voice, in base64."""

    type: Literal["response.output_audio.delta"] = "response.output_audio.delta"
    delta: str = Field(repr=False)


class ResponseOutputAudioDone(_InPart):
    """The voice of a part is complete."""

    type: Literal["response.output_audio.done"] = "response.output_audio.done"


class ResponseFunctionCallArgumentsDelta(_InItem):
    """A piece of a function call's JSON arguments."""

    type: Literal["response.function_call_arguments.delta"] = (
        "response.function_call_arguments.delta"
    )
    call_id: Word = ""
    delta: Piece


class ResponseFunctionCallArgumentsDone(_InItem):
    """A function call's arguments are complete."""

    type: Literal["response.function_call_arguments.done"] = "response.function_call_arguments.done"
    call_id: Word = ""
    name: str | None = None
    arguments: Arguments = ""


# -- MCP ---------------------------------------------------------------------------------------


class ResponseMcpCallArgumentsDelta(_InItem):
    """A piece of an MCP call's JSON arguments."""

    type: Literal["response.mcp_call_arguments.delta"] = "response.mcp_call_arguments.delta"
    delta: Piece
    obfuscation: str | None = None


class ResponseMcpCallArgumentsDone(_InItem):
    """An MCP call's arguments are complete."""

    type: Literal["response.mcp_call_arguments.done"] = "response.mcp_call_arguments.done"
    arguments: Arguments = ""


class _McpCall(ServerMessage):
    item_id: Word = ""
    output_index: Count = 0


class ResponseMcpCallInProgress(_McpCall):
    """The provider calls an MCP tool."""

    type: Literal["response.mcp_call.in_progress"] = "response.mcp_call.in_progress"


class ResponseMcpCallCompleted(_McpCall):
    """The MCP tool answered."""

    type: Literal["response.mcp_call.completed"] = "response.mcp_call.completed"


class ResponseMcpCallFailed(_McpCall):
    """The MCP tool failed."""

    type: Literal["response.mcp_call.failed"] = "response.mcp_call.failed"


class McpListToolsInProgress(ServerMessage):
    """The provider asks an MCP server for its tools."""

    type: Literal["mcp_list_tools.in_progress"] = "mcp_list_tools.in_progress"
    item_id: Word = ""


class McpListToolsCompleted(ServerMessage):
    """The MCP server's tools are known."""

    type: Literal["mcp_list_tools.completed"] = "mcp_list_tools.completed"
    item_id: Word = ""


class McpListToolsFailed(ServerMessage):
    """The MCP server's tools could not be had."""

    type: Literal["mcp_list_tools.failed"] = "mcp_list_tools.failed"
    item_id: Word = ""


AnyMcpListTools = McpListToolsInProgress | McpListToolsCompleted | McpListToolsFailed

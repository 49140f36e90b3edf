"""Our commands as messages of OpenAI's protocol. Pure."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

from realtime import events as ours
from realtime import struct as wire
from realtime.events import ModelCommand
from realtime.openai.dialect import Dialect
from realtime.openai.settings import changed_session
from realtime.response_gate import ReplyRequest


def reply_message(request: ReplyRequest) -> wire.ResponseCreate:
    """A request for a reply, as the gate lets it pass."""
    if request.instructions is None:
        return wire.ResponseCreate(event_id=request.event_id)
    params = wire.ResponseParams(instructions=request.instructions)
    return wire.ResponseCreate(event_id=request.event_id, response=params)


def command_message(command: ModelCommand, dialect: Dialect) -> wire.AnyClientEvent:
    """Every command but audio, and `CreateResponse`, which goes through the gate.

    Raises:
        InvalidSettingsError: of an `UpdateSettings`.
    """
    return _MESSAGES[type(command)](command, dialect)


def _commit(_command: ours.CommitAudio, _dialect: Dialect) -> wire.InputAudioBufferCommit:
    return wire.InputAudioBufferCommit()


def _clear(_command: ours.ClearAudio, _dialect: Dialect) -> wire.InputAudioBufferClear:
    return wire.InputAudioBufferClear()


def _add_text(command: ours.AddText, _dialect: Dialect) -> wire.ConversationItemCreate:
    is_assistant = command.role == "assistant"
    part = wire.ContentPart(type="output_text" if is_assistant else "input_text", text=command.text)
    item = wire.MessageItem(role=command.role, content=[part])
    if command.item_id is not None:
        item = item.model_copy(update={"id": command.item_id})
    return wire.ConversationItemCreate(item=item)


def _add_image(command: ours.AddImage, _dialect: Dialect) -> wire.ConversationItemCreate:
    data = base64.b64encode(command.data).decode("ascii")
    part = wire.ContentPart(type="input_image", image_url=f"data:{command.mime_type};base64,{data}")
    if command.detail is not None:
        part = part.model_copy(update={"detail": command.detail})
    return wire.ConversationItemCreate(item=wire.MessageItem(role="user", content=[part]))


def _add_call(command: ours.AddToolCall, _dialect: Dialect) -> wire.ConversationItemCreate:
    item = wire.FunctionCallItem(
        call_id=command.call_id, name=command.name, arguments=command.arguments
    )
    return wire.ConversationItemCreate(item=item)


def _add_output(command: ours.AddToolOutput, _dialect: Dialect) -> wire.ConversationItemCreate:
    item = wire.FunctionCallOutputItem(call_id=command.call_id, output=command.output)
    return wire.ConversationItemCreate(item=item)


def _answer_approval(
    command: ours.AnswerToolApproval, _dialect: Dialect
) -> wire.ConversationItemCreate:
    # The one item whose id the provider does not choose by itself.
    item = wire.McpApprovalResponseItem(
        id=wire.new_id("mcpr"),
        approval_request_id=command.request_id,
        approve=command.is_approved,
    )
    if command.reason is not None:
        item = item.model_copy(update={"reason": command.reason})
    return wire.ConversationItemCreate(item=item)


def _cancel(command: ours.CancelResponse, _dialect: Dialect) -> wire.ResponseCancel:
    if command.response_id is None:
        return wire.ResponseCancel()
    return wire.ResponseCancel(response_id=command.response_id)


def _truncate(command: ours.TruncateItem, _dialect: Dialect) -> wire.ConversationItemTruncate:
    return wire.ConversationItemTruncate(
        item_id=command.item_id,
        content_index=command.content_index,
        audio_end_ms=command.audio_end_ms,
    )


def _delete(command: ours.DeleteItem, _dialect: Dialect) -> wire.ConversationItemDelete:
    return wire.ConversationItemDelete(item_id=command.item_id)


def _update(command: ours.UpdateSettings, dialect: Dialect) -> wire.SessionUpdate:
    return wire.SessionUpdate(session=changed_session(command.changes, dialect))


_MESSAGES: dict[type, Callable[[Any, Dialect], wire.AnyClientEvent]] = {
    ours.CommitAudio: _commit,
    ours.ClearAudio: _clear,
    ours.AddText: _add_text,
    ours.AddImage: _add_image,
    ours.AddToolCall: _add_call,
    ours.AddToolOutput: _add_output,
    ours.AnswerToolApproval: _answer_approval,
    ours.CancelResponse: _cancel,
    ours.TruncateItem: _truncate,
    ours.DeleteItem: _delete,
    ours.UpdateSettings: _update,
}

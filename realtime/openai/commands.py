"""Our commands as messages of OpenAI's protocol. Pure."""

from __future__ import annotations

import base64
import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from pydantic import ValidationError

from realtime import events as ours
from realtime import struct as wire
from realtime.events import ModelCommand
from realtime.events.commands import (
    MAX_METADATA,
    MAX_METADATA_NAME_CHARACTERS,
    MAX_METADATA_VALUE_CHARACTERS,
)
from realtime.model import InvalidSettingsError
from realtime.openai.dialect import Dialect
from realtime.openai.settings import changed_session
from realtime.response_gate import ReplyRequest
from untrusted.validation import first_validation_error

_Item = wire.MessageItem | wire.FunctionCallItem | wire.FunctionCallOutputItem

OUT_OF_BAND_KEY: Final = "parley_out_of_band"
"""In the metadata of a reply outside of the conversation; its value is `written_out_of_band`."""


def reply_message(request: ReplyRequest, *, has_metadata: bool) -> wire.ResponseCreate:
    """A request for a reply, as the gate lets it pass.

    has_metadata: the server takes metadata and says it again

    Raises:
        InvalidSettingsError: naming the field that the protocol does not allow.
    """
    command = request.command if has_metadata else replace(request.command, metadata=None)
    if command.is_plain:
        return wire.ResponseCreate(event_id=request.event_id)
    return wire.ResponseCreate(event_id=request.event_id, response=response_params(command))


def response_params(command: ours.CreateResponse) -> wire.ResponseParams:
    """Settings of one reply that are not the session's.

    Raises:
        InvalidSettingsError: naming the field that the protocol does not allow.
    """
    params: dict[str, Any] = {
        "instructions": command.instructions,
        "tool_choice": command.tool_choice,
        "max_output_tokens": command.max_output_tokens,
    }
    metadata = dict(command.metadata or {})
    modality = command.output_modality
    if command.out_of_band is not None:
        metadata[OUT_OF_BAND_KEY] = written_out_of_band(command.out_of_band)
        params["conversation"] = "none"
        # A voice that is not heard is paid for all the same.
        modality = modality or ("audio" if command.out_of_band.is_spoken else "text")
    params["metadata"] = metadata or None
    params["output_modalities"] = None if modality is None else [modality]
    if command.voice is not None:
        params["audio"] = {"output": {"voice": command.voice}}
    if command.tools is not None:
        params["tools"] = [dict(tool) for tool in command.tools]
    if command.input_items is not None:
        params["input"] = [_input_item(item) for item in command.input_items]
    given = {name: value for name, value in params.items() if value is not None}
    try:
        return wire.ResponseParams.model_validate(given)
    except ValidationError as error:
        raise InvalidSettingsError(first_validation_error(error, whole="response")) from None


def written_out_of_band(mark: ours.OutOfBand) -> str:
    """The mark as a value of metadata."""
    return f"{'spoken' if mark.is_spoken else 'silent'} {mark.key}"


def out_of_band_of(response: wire.Response) -> ours.OutOfBand | None:
    """The mark of a reply, if it is outside of the conversation and we asked for it."""
    value = (response.metadata or {}).get(OUT_OF_BAND_KEY)
    kind, separator, key = value.partition(" ") if isinstance(value, str) else ("", "", "")
    if not separator or kind not in ("spoken", "silent"):
        return None
    return ours.OutOfBand(key[:MAX_METADATA_VALUE_CHARACTERS], is_spoken=kind == "spoken")


def metadata_of(response: wire.Response) -> dict[str, str]:
    """Return what the request said of itself, within the bounds that requests have."""
    given = {
        name: value
        for name, value in (response.metadata or {}).items()
        if name != OUT_OF_BAND_KEY
        and len(name) <= MAX_METADATA_NAME_CHARACTERS
        and isinstance(value, str)
        and len(value) <= MAX_METADATA_VALUE_CHARACTERS
    }
    return dict(itertools.islice(given.items(), MAX_METADATA))


def _input_item(item: ours.InputItem) -> dict[str, Any]:
    match item:
        case ours.ItemReference():
            return {"type": "item_reference", "id": item.item_id}
        case ours.AddText() | ours.AddImage() | ours.AddToolCall() | ours.AddToolOutput():
            return _ITEMS[type(item)](item).model_dump(exclude_unset=True)


def command_message(command: ModelCommand, dialect: Dialect) -> wire.AnyClientEvent:
    """Every command but audio, raw events, and `CreateResponse`, which goes through the gate.

    Raises:
        InvalidSettingsError: of an `UpdateSettings`.
    """
    return _MESSAGES[type(command)](command, dialect)


def _commit(_command: ours.CommitAudio, _dialect: Dialect) -> wire.InputAudioBufferCommit:
    return wire.InputAudioBufferCommit()


def _clear(_command: ours.ClearAudio, _dialect: Dialect) -> wire.InputAudioBufferClear:
    return wire.InputAudioBufferClear()


def _add_item(command: ModelCommand, _dialect: Dialect) -> wire.ConversationItemCreate:
    return wire.ConversationItemCreate(item=_ITEMS[type(command)](command))


def _text_item(command: ours.AddText) -> wire.MessageItem:
    is_assistant = command.role == "assistant"
    part = wire.ContentPart(type="output_text" if is_assistant else "input_text", text=command.text)
    item = wire.MessageItem(role=command.role, content=[part])
    if command.item_id is not None:
        item = item.model_copy(update={"id": command.item_id})
    return item


def _image_item(command: ours.AddImage) -> wire.MessageItem:
    data = base64.b64encode(command.data).decode("ascii")
    part = wire.ContentPart(type="input_image", image_url=f"data:{command.mime_type};base64,{data}")
    if command.detail is not None:
        part = part.model_copy(update={"detail": command.detail})
    return wire.MessageItem(role="user", content=[part])


def _call_item(command: ours.AddToolCall) -> wire.FunctionCallItem:
    return wire.FunctionCallItem(
        call_id=command.call_id, name=command.name, arguments=command.arguments
    )


def _output_item(command: ours.AddToolOutput) -> wire.FunctionCallOutputItem:
    return wire.FunctionCallOutputItem(call_id=command.call_id, output=command.output)


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


_ITEMS: dict[type, Callable[[Any], _Item]] = {
    ours.AddText: _text_item,
    ours.AddImage: _image_item,
    ours.AddToolCall: _call_item,
    ours.AddToolOutput: _output_item,
}

_MESSAGES: dict[type, Callable[[Any, Dialect], wire.AnyClientEvent]] = {
    ours.CommitAudio: _commit,
    ours.ClearAudio: _clear,
    ours.AddText: _add_item,
    ours.AddImage: _add_item,
    ours.AddToolCall: _add_item,
    ours.AddToolOutput: _add_item,
    ours.AnswerToolApproval: _answer_approval,
    ours.CancelResponse: _cancel,
    ours.TruncateItem: _truncate,
    ours.DeleteItem: _delete,
    ours.UpdateSettings: _update,
}

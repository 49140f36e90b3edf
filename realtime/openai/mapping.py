"""From OpenAI's server messages to provider-neutral events. Pure; one mapper a session."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

from realtime import events as ours
from realtime import struct as wire
from realtime.events import ModelEvent
from realtime.lenient_parsing import MAX_COUNT, clean
from realtime.openai.commands import metadata_of, out_of_band_of
from realtime.openai.reply_calls import ReplyCalls
from realtime.streams import Streams

BUSY_CODE = "conversation_already_has_active_response"
BENIGN_CODES = frozenset(
    {
        BUSY_CODE,
        "response_cancel_not_active",
        "input_audio_buffer_commit_empty",
        "item_retrieve_invalid_item_id",
    }
)
"""Errors of unavoidable, harmless races."""

FATAL_CODES = frozenset(
    {
        "invalid_api_key",
        "insufficient_quota",
        "session_expired",
        "model_not_found",
        "account_deactivated",
        "billing_hard_limit_reached",
        "beta_api_shape_disabled",
    }
)

_LISTING_STAGES: dict[str, Literal["listing", "listed", "listing_failed"]] = {
    "mcp_list_tools.in_progress": "listing",
    "mcp_list_tools.completed": "listed",
    "mcp_list_tools.failed": "listing_failed",
}


def is_fatal(error: wire.ErrorDetails | wire.StatusError) -> bool:
    """True if the session cannot go on after this."""
    return bool({error.code, error.type} & FATAL_CODES)


class OpenAIMapper:
    """Maps each server message to events: none, one or several.

    It remembers which item belongs to which reply and which calls were emitted already.
    """

    def __init__(self, *, output_sample_rate_hz: int) -> None:
        self._output_sample_rate_hz = output_sample_rate_hz
        self._calls = ReplyCalls()
        self._streams = Streams()
        self._handlers: dict[type, Callable[[Any], list[ModelEvent]]] = {
            **_STATELESS,
            wire.ConversationItemAdded: self._item_added,
            wire.ConversationItemCreated: self._item_added,
            wire.ResponseOutputItemAdded: self._output_item_added,
            wire.ResponseOutputItemDone: self._output_item_done,
            wire.ResponseOutputAudioDelta: self._audio_delta,
            wire.ResponseOutputAudioDone: self._audio_done,
            wire.ResponseOutputAudioTranscriptDelta: self._transcript_delta,
            wire.ResponseOutputTextDelta: self._text_delta,
            wire.ResponseFunctionCallArgumentsDelta: self._arguments_delta,
            wire.InputTranscriptionDelta: self._input_delta,
            wire.ResponseFunctionCallArgumentsDone: self._arguments_done,
            wire.ResponseCreated: self._response_created,
            wire.ResponseDone: self._response_done,
        }

    def map(self, message: wire.KnownServerEvent | wire.UnknownEvent) -> list[ModelEvent]:
        """Return the events of `message`.

        Raises:
            InvalidEventError: its audio is not audio.
        """
        handler = self._handlers.get(type(message))
        return handler(message) if handler is not None else []

    def _item_added(
        self, message: wire.ConversationItemAdded | wire.ConversationItemCreated
    ) -> list[ModelEvent]:
        item = message.item
        item_id = item.id or ""
        role = item.role if isinstance(item, wire.MessageItem) else None
        response_id = self._calls.reply_of(item_id)
        return [ours.ItemAdded(item_id, item.type, role, response_id)]

    def _output_item_added(self, message: wire.ResponseOutputItemAdded) -> list[ModelEvent]:
        return [*self._calls.handle_item_begun(message.response_id, message.item)]

    def _output_item_done(self, message: wire.ResponseOutputItemDone) -> list[ModelEvent]:
        return [*self._calls.handle_item_done(message.response_id, message.item)]

    def _audio_delta(self, message: wire.ResponseOutputAudioDelta) -> list[ModelEvent]:
        try:
            pcm = self._streams.voice(_part(message)).push(message.delta)
        except ValueError as error:
            raise wire.InvalidEventError(f"delta: {error}", code="invalid_value") from None
        return self._voice(message, pcm)

    def _audio_done(self, message: wire.ResponseOutputAudioDone) -> list[ModelEvent]:
        return [
            *self._voice(message, self._streams.end_voice(_part(message))),
            ours.AudioDone(message.response_id, message.item_id, message.content_index),
        ]

    def _end_voices(self, response_id: str) -> list[ModelEvent]:
        """End each voice of a finished reply whose end was not announced."""
        return [
            event
            for _, item_id, index in self._streams.open_voices(response_id)
            for event in self._audio_done(
                wire.ResponseOutputAudioDone(
                    response_id=response_id, item_id=str(item_id), content_index=int(index)
                )
            )
        ]

    def _voice(
        self, message: wire.ResponseOutputAudioDelta | wire.ResponseOutputAudioDone, pcm: bytes
    ) -> list[ModelEvent]:
        if not pcm:
            return []
        return [ours.AudioDelta(*_part(message), pcm, self._output_sample_rate_hz)]

    def _transcript_delta(
        self, message: wire.ResponseOutputAudioTranscriptDelta
    ) -> list[ModelEvent]:
        part = _part(message)
        text = self._streams.join_text((*part, "transcript"), message.delta)
        return [ours.TranscriptDelta(*part, text)]

    def _text_delta(self, message: wire.ResponseOutputTextDelta) -> list[ModelEvent]:
        part = _part(message)
        return [ours.TextDelta(*part, self._streams.join_text((*part, "text"), message.delta))]

    def _arguments_delta(
        self, message: wire.ResponseFunctionCallArgumentsDelta
    ) -> list[ModelEvent]:
        name, begun_id = self._calls.name_and_id(message.item_id)
        call_id = message.call_id or begun_id
        if not call_id:
            return []  # nothing could be distinguished by it
        text = self._streams.join_text(
            (message.response_id, message.item_id, call_id), message.delta
        )
        return [ours.ToolCallDelta(message.response_id, message.item_id, call_id, text, name)]

    def _input_delta(self, message: wire.InputTranscriptionDelta) -> list[ModelEvent]:
        text = self._streams.join_text(("", message.item_id), message.delta)
        return [ours.InputTranscriptDelta(message.item_id, text)]

    def _arguments_done(self, message: wire.ResponseFunctionCallArgumentsDone) -> list[ModelEvent]:
        return [*self._calls.handle_arguments(message)]

    def _response_created(self, message: wire.ResponseCreated) -> list[ModelEvent]:
        response = message.response
        self._forget_reply(response.id)
        return [ours.ResponseCreated(response.id, metadata_of(response), out_of_band_of(response))]

    def _forget_reply(self, response_id: str) -> None:
        """The server may give its ids, and those of what was in it, to another one."""
        self._calls.forget(response_id)
        self._streams.forget(response_id)

    def _response_done(self, message: wire.ResponseDone) -> list[ModelEvent]:
        response = message.response
        events = [*self._end_voices(response.id), *self._calls.handle_reply_done(response)]
        self._forget_reply(response.id)
        details = response.status_details or wire.StatusDetails()
        error = details.error or wire.StatusError()
        events.append(ours.GenerationDone(response.id))
        if details.reason == "turn_detected":
            events.append(ours.Interrupted(response.id))
        mark = out_of_band_of(response)
        is_over = is_fatal(error)
        # Of a reply beside the conversation only its sender needs to know that it failed.
        if response.status == ours.ResponseStatus.FAILED and (mark is None or is_over):
            code = error.code or error.type or "response_failed"
            events.append(ours.ProviderError(code, error.message or "", is_over))
        reason = details.reason or error.code or error.type
        events.append(
            ours.ResponseDone(
                response.id,
                _status(response),
                reason,
                _usage(response.usage),
                metadata_of(response),
                mark,
            )
        )
        return events


def _part(message: Any) -> tuple[str, str, int]:
    """Return the content part that a piece of a reply belongs to."""
    return message.response_id, message.item_id, message.content_index


def _error(message: wire.ErrorEvent) -> list[ModelEvent]:
    error = message.error
    if error.code in BENIGN_CODES:
        return []
    return [
        ours.ProviderError(
            code=error.code or error.type,
            message=error.message,
            is_fatal=is_fatal(error),
            event_id=error.event_id,
            param=error.param,
        )
    ]


def _session_updated(message: wire.SessionUpdated) -> list[ModelEvent]:
    return [ours.SessionUpdated(message.session.id or "")]


def _rate_limits(message: wire.RateLimitsUpdated) -> list[ModelEvent]:
    named = [(limit.name, limit) for limit in message.rate_limits if limit.name is not None]
    return [
        ours.RateLimitsUpdated(
            remaining={name: each.remaining for name, each in named if each.remaining is not None},
            limits={name: each.limit for name, each in named if each.limit is not None},
            reset_s={
                name: each.reset_seconds for name, each in named if each.reset_seconds is not None
            },
        )
    ]


def _dtmf(message: wire.InputAudioBufferDtmfEventReceived) -> list[ModelEvent]:
    return [ours.DtmfReceived(message.event, float(message.received_at))]


def _tools_listed(message: wire.AnyMcpListTools) -> list[ModelEvent]:
    return [ours.HostedToolProgress(message.item_id, _LISTING_STAGES[message.type])]


def _hosted_call_progress(
    message: wire.ResponseMcpCallInProgress | wire.ResponseMcpCallFailed,
) -> list[ModelEvent]:
    is_failed = isinstance(message, wire.ResponseMcpCallFailed)
    return [ours.HostedToolProgress(message.item_id, "failed" if is_failed else "calling")]


def _hosted_item_done(message: wire.ConversationItemDone) -> list[ModelEvent]:
    """Return the events of a hosted tool's item, complete once the item is done."""
    item = message.item
    match item:
        case wire.McpApprovalRequestItem():
            return [
                ours.ToolApprovalRequested(
                    item.id or "", item.server_label, item.name, item.arguments
                )
            ]
        case wire.McpCallItem() if item.error is None and item.output is not None:
            return [_hosted_call(item, "done", output=item.output)]
        case wire.McpCallItem() if item.error is not None:
            return [_hosted_call(item, "failed", error=_error_text(item.error))]
        case _:
            return []


def _error_text(error: Mapping[str, Any] | str) -> str:
    return error if isinstance(error, str) else str(clean(error.get("message", error)))


def _hosted_call(
    item: wire.McpCallItem, stage: Literal["done", "failed"], *, output: str = "", error: str = ""
) -> ours.HostedToolProgress:
    return ours.HostedToolProgress(
        item.id or "", stage, item.server_label, item.name, item.arguments, output, error
    )


def _unknown(message: wire.UnknownEvent) -> list[ModelEvent]:
    return [ours.UnknownEventReceived(message.type, clean(message.model_extra or {}))]


def _speech_started(message: wire.InputAudioBufferSpeechStarted) -> list[ModelEvent]:
    return [ours.SpeechStarted(message.item_id, message.audio_start_ms)]


def _speech_stopped(message: wire.InputAudioBufferSpeechStopped) -> list[ModelEvent]:
    return [ours.SpeechStopped(message.item_id, message.audio_end_ms)]


def _committed(message: wire.InputAudioBufferCommitted) -> list[ModelEvent]:
    return [ours.InputCommitted(message.item_id, message.previous_item_id)]


def _timeout(message: wire.InputAudioBufferTimeoutTriggered) -> list[ModelEvent]:
    return [
        ours.InputTimeoutTriggered(message.item_id, message.audio_start_ms, message.audio_end_ms)
    ]


def _input_done(message: wire.InputTranscriptionCompleted) -> list[ModelEvent]:
    usage = message.usage
    return [
        ours.InputTranscriptDone(
            message.item_id,
            message.transcript,
            input_tokens=None if usage is None else _count_of(usage.input_tokens),
            output_tokens=None if usage is None else _count_of(usage.output_tokens),
        )
    ]


def _input_failed(message: wire.InputTranscriptionFailed) -> list[ModelEvent]:
    return [ours.InputTranscriptFailed(message.item_id, message.error.message)]


def _truncated(message: wire.ConversationItemTruncated) -> list[ModelEvent]:
    return [ours.ItemTruncated(message.item_id, message.content_index, message.audio_end_ms)]


def _deleted(message: wire.ConversationItemDeleted) -> list[ModelEvent]:
    return [ours.ItemDeleted(message.item_id)]


def _transcript_done(message: wire.ResponseOutputAudioTranscriptDone) -> list[ModelEvent]:
    return [
        ours.TranscriptDone(
            message.response_id, message.item_id, message.content_index, message.transcript
        )
    ]


def _text_done(message: wire.ResponseOutputTextDone) -> list[ModelEvent]:
    return [
        ours.TextDone(message.response_id, message.item_id, message.content_index, message.text)
    ]


def _status(response: wire.Response) -> ours.ResponseStatus:
    if response.status is None:  # nothing is said against it
        return ours.ResponseStatus.COMPLETED
    try:
        return ours.ResponseStatus(response.status)
    except ValueError:  # a status of the future: the reply is over, and not as it should be
        return ours.ResponseStatus.INCOMPLETE


def _usage(usage: wire.ResponseUsage | None) -> ours.Usage:
    if usage is None:
        return ours.Usage()
    details: dict[str, int] = {}
    _collect("input", usage.input_token_details, details)
    _collect("output", usage.output_token_details, details)
    return ours.Usage(
        input_tokens=usage.input_tokens or 0,
        output_tokens=usage.output_tokens or 0,
        total_tokens=usage.total_tokens or 0,
        details=details,
    )


def _collect(prefix: str, counts: wire.WireObject | None, into: dict[str, int]) -> None:
    given: Mapping[str, Any] = counts.model_dump(exclude_none=True) if counts is not None else {}
    into.update({f"{prefix}_{name}": count for name, count in given.items() if _is_count(count)})


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value <= MAX_COUNT


def _count_of(value: int | None) -> int | None:
    return value if _is_count(value) else None


_STATELESS: dict[type, Callable[[Any], list[ModelEvent]]] = {
    wire.ErrorEvent: _error,
    wire.SessionUpdated: _session_updated,
    wire.RateLimitsUpdated: _rate_limits,
    wire.UnknownEvent: _unknown,
    wire.InputAudioBufferSpeechStarted: _speech_started,
    wire.InputAudioBufferSpeechStopped: _speech_stopped,
    wire.InputAudioBufferCommitted: _committed,
    wire.InputAudioBufferTimeoutTriggered: _timeout,
    wire.InputTranscriptionCompleted: _input_done,
    wire.InputTranscriptionFailed: _input_failed,
    wire.ConversationItemTruncated: _truncated,
    wire.ConversationItemDeleted: _deleted,
    wire.ResponseOutputAudioTranscriptDone: _transcript_done,
    wire.ResponseOutputTextDone: _text_done,
    wire.InputAudioBufferDtmfEventReceived: _dtmf,
    wire.McpListToolsInProgress: _tools_listed,
    wire.McpListToolsCompleted: _tools_listed,
    wire.McpListToolsFailed: _tools_listed,
    wire.ResponseMcpCallInProgress: _hosted_call_progress,
    wire.ResponseMcpCallFailed: _hosted_call_progress,
    wire.ConversationItemDone: _hosted_item_done,
}
"""Messages that mean the same whatever came before. Those in no table mean nothing to an agent."""

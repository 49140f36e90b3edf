"""One reply on the wire: every event it needs, in the protocol's order, however it ends. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from realtime import struct as wire
from speech.conversation import Conversation, Kept
from speech.language_model.protocol import TokenUsage
from speech.usage import output_audio_tokens, text_tokens, usage

_MAX_METADATA = 16

Emit = Callable[[wire.WireEvent], None]


@dataclass(frozen=True, slots=True)
class ResponseSettings:
    """Settings of a reply on the wire.

    is_in_conversation: False for out-of-band replies, which leave no item behind
    max_output_tokens: None for no limit
    input_tokens: text and audio tokens it starts from
    """

    modality: str
    voice: Any
    speed: float
    max_output_tokens: int | None
    is_in_conversation: bool = True
    metadata: dict[str, str] | None = None
    input_tokens: tuple[int, int] = (0, 0)


class ResponseWriter:
    """Emits one reply's events. After `finish` every further call is ignored."""

    def __init__(
        self,
        settings: ResponseSettings,
        *,
        conversation: Conversation,
        conversation_id: str,
        emit: Emit,
    ) -> None:
        self.id = wire.new_id("resp")
        self.settings = settings
        self.is_done = False
        self.audio_ms = 0
        self._conversation = conversation
        self._conversation_id = conversation_id
        self._emit = emit
        self._output: list[Any] = []
        self._message: _OpenMessage | None = None
        self._call: _OpenCall | None = None
        self._text_tokens = 0
        self._model_usage: TokenUsage | None = None
        self._metadata = dict(settings.metadata or {})

    @property
    def output_tokens(self) -> int:
        """Made so far, text and audio."""
        return self._text_tokens + output_audio_tokens(self.audio_ms)

    @property
    def has_room(self) -> bool:
        """True if the token limit allows more."""
        limit = self.settings.max_output_tokens
        return limit is None or self.output_tokens < limit

    def begin(self) -> None:
        """`response.created`."""
        self._emit(wire.ResponseCreated(response=self._response("in_progress", None)))

    # -- a message -----------------------------------------------------------------------------

    @property
    def has_message(self) -> bool:
        """True while a message is open."""
        return self._message is not None

    def begin_message(self, *, is_notice: bool = False) -> None:
        """A message item with its one content part.

        is_notice: the server says it, not the mind: the mind never sees it again
        """
        if self.is_done:
            return
        item = wire.MessageItem(
            id=wire.new_id("item"),
            object="realtime.item",
            status="in_progress",
            role="assistant",
            content=[],
        )
        kept = self._begin_item(item)
        kept.is_notice = is_notice
        self._message = _OpenMessage(kept, self._ids(item.id or "") | {"content_index": 0})
        is_audio = self.settings.modality == "audio"
        part = (
            wire.Part(type="audio", transcript="") if is_audio else wire.Part(type="text", text="")
        )
        self._emit(wire.ResponseContentPartAdded(**self._message.where, part=part))

    def add_text(self, text: str) -> None:
        """The next words, with the white space before them: written, or about to be spoken."""
        if self.is_done or self._message is None:
            return
        message = self._message
        message.text += text
        message.clause += text
        self._text_tokens += text_tokens(text)
        is_audio = self.settings.modality == "audio"
        kind = wire.ResponseOutputAudioTranscriptDelta if is_audio else wire.ResponseOutputTextDelta
        self._emit(kind(**message.where, delta=text))

    def add_audio(self, pcm: bytes) -> None:
        """The next piece of voice, 24 kHz."""
        if self.is_done or self._message is None:
            return
        if self.settings.is_in_conversation:
            self._conversation.append_audio(self._message.kept, pcm)
        else:
            self._message.kept.audio_ms += len(pcm) // 48
        self.audio_ms += len(pcm) // 48
        delta = wire.encode_pcm(pcm)
        self._emit(wire.ResponseOutputAudioDelta(**self._message.where, delta=delta))

    def end_clause(self) -> None:
        """Mark the audio of the last words as complete, so that heard text can be derived from it."""
        if not self.is_done and self._message is not None:
            self._message.end_clause()

    def end_message(self, status: str = "completed") -> None:
        """Close the open message, if there is one."""
        if self._message is None:
            return
        message, self._message = self._message, None
        message.end_clause()
        text, where = message.text, message.where
        if self.settings.modality == "audio":
            self._emit(wire.ResponseOutputAudioDone(**where))
            self._emit(wire.ResponseOutputAudioTranscriptDone(**where, transcript=text))
            part = wire.Part(type="audio", transcript=text)
            content = wire.ContentPart(type="output_audio", transcript=text)
        else:
            self._emit(wire.ResponseOutputTextDone(**where, text=text))
            part = wire.Part(type="text", text=text)
            content = wire.ContentPart(type="output_text", text=text)
        self._emit(wire.ResponseContentPartDone(**where, part=part))
        self._end_item(message.kept, status, content=[content])

    # -- a tool call ---------------------------------------------------------------------------

    def begin_call(self, call_id: str, name: str) -> None:
        """A function call item; what was said before it is closed."""
        if self.is_done:
            return
        self.end_message()
        item = wire.FunctionCallItem(
            id=wire.new_id("item"),
            object="realtime.item",
            status="in_progress",
            call_id=call_id,
            name=name,
            arguments="",
        )
        where = self._ids(item.id or "") | {"call_id": call_id}
        self._call = _OpenCall(self._begin_item(item), where)
        self._text_tokens += text_tokens(name)

    def add_arguments(self, delta: str) -> None:
        """The next piece of the open call's arguments."""
        if self.is_done or self._call is None:
            return
        self._call.arguments += delta
        self._text_tokens += text_tokens(delta)
        self._emit(wire.ResponseFunctionCallArgumentsDelta(**self._call.where, delta=delta))

    def end_call(self, arguments: str | None) -> None:
        """The open call is complete with these arguments; None: it will never be."""
        if self._call is None:
            return
        call, self._call = self._call, None
        if arguments is None:
            self._end_item(call.kept, "incomplete", arguments=call.arguments)
            return
        name = call.kept.item.name
        self._emit(
            wire.ResponseFunctionCallArgumentsDone(**call.where, name=name, arguments=arguments)
        )
        self._end_item(call.kept, "completed", arguments=arguments)

    # -- the end -------------------------------------------------------------------------------

    def count(self, usage: TokenUsage | None) -> None:
        """Report these tokens as text in place of the estimate; None: keep it."""
        self._model_usage = usage or self._model_usage

    def note(self, **values: str) -> None:
        """Add metadata to `response.done`, as far as there is room beside the client's."""
        if len({**self._metadata, **values}) <= _MAX_METADATA:
            self._metadata |= values

    def finish(
        self,
        status: str = "completed",
        *,
        reason: str | None = None,
        error: str | None = None,
        failure: str | None = None,
    ) -> None:
        """Close what is open and say `response.done`; only the first call counts.

        error: of this server; failure: code of what the language model failed at
        """
        if self.is_done:
            return
        self.end_call(None)
        self.end_message("completed" if status == "completed" else "incomplete")
        self.is_done = True
        details: dict[str, Any] = {"type": status}
        if reason is not None:
            details["reason"] = reason
        if error is not None:
            details["error"] = {"type": "server_error", "code": "server_error", "message": error}
        if failure is not None:
            details["error"] = {"type": "language_model_error", "code": failure}
        has_details = status != "completed" or failure is not None
        status_details = wire.StatusDetails(**details) if has_details else None
        self._emit(wire.ResponseDone(response=self._response(status, status_details)))

    def _begin_item(self, item: Any) -> Kept:
        self._emit(
            wire.ResponseOutputItemAdded(
                response_id=self.id, output_index=len(self._output), item=item
            )
        )
        if not self.settings.is_in_conversation:
            return Kept(item)
        kept, previous = self._conversation.add(item)
        self._emit(wire.ConversationItemAdded(item=item, previous_item_id=previous))
        return kept

    def _end_item(self, kept: Kept, status: str, **changes: Any) -> None:
        kept.item = item = kept.item.model_copy(update={"status": status, **changes})
        if self.settings.is_in_conversation:
            self._emit(wire.ConversationItemDone(item=item, previous_item_id=None))
        self._emit(
            wire.ResponseOutputItemDone(
                response_id=self.id, output_index=len(self._output), item=item
            )
        )
        self._output.append(item)

    def _ids(self, item_id: str) -> dict[str, Any]:
        return {"response_id": self.id, "item_id": item_id, "output_index": len(self._output)}

    def _response(self, status: str, details: wire.StatusDetails | None) -> wire.Response:
        settings = self.settings
        audio = {
            "output": {"format": {"type": "audio/pcm", "rate": 24_000}, "voice": settings.voice}
        }
        return wire.Response(
            id=self.id,
            status=status,
            status_details=details,
            output=list(self._output),
            conversation_id=self._conversation_id if settings.is_in_conversation else None,
            output_modalities=[settings.modality],
            max_output_tokens=settings.max_output_tokens or "inf",
            audio=audio,
            usage=self._usage() if status != "in_progress" else None,
            metadata=self._metadata or settings.metadata,
        )

    def _usage(self) -> wire.ResponseUsage:
        text, audio = self.settings.input_tokens
        counted = self._model_usage or TokenUsage(text, self._text_tokens)
        return usage(
            input_text=counted.input_tokens,
            input_audio=audio,
            cached_text=counted.cached_tokens,
            output_text=counted.output_tokens,
            output_audio=output_audio_tokens(self.audio_ms),
        )


@dataclass(slots=True)
class _OpenMessage:
    kept: Kept
    where: dict[str, Any]
    text: str = ""
    clause: str = ""

    def end_clause(self) -> None:
        """Note where the present clause ends in the audio; a written one has no place there."""
        if self.clause and self.kept.audio_ms:
            self.kept.clauses.append((self.clause, self.kept.audio_ms))
        self.clause = ""


@dataclass(slots=True)
class _OpenCall:
    kept: Kept
    where: dict[str, Any]
    arguments: str = ""

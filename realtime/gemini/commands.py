"""Our commands as Gemini's messages. Pure; one writer a session.

Gemini has no way to add to the conversation without stopping a reply, and answers by itself what
it takes for a whole turn. So messages wait while a reply is being made and go out together, and a
request for a reply closes the turn that they are. On models without `has_content` they wait for
that request in any case, since they would be answered at once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from realtime import events as ours
from realtime.events import ModelCommand
from realtime.gemini import wire
from realtime.gemini.images import ImageLimiter
from realtime.gemini.model_quirks import GeminiQuirks
from realtime.gemini.settings import changed_context
from realtime.gemini.tool_calls import ToolCallTracker
from realtime.model import InvalidSettingsError, UnsupportedCommandError
from untrusted.json_reader import InvalidJsonError, mend_text, read_object

MAX_HELD: Final = 64
"""Messages that wait; one more is refused."""

GO_ON: Final = "Please answer now."
"""Said to a model that cannot be asked for a reply without words."""

_AUDIO_TYPE: Final = "audio/pcm;rate={}"
_NOTE: Final = "(System note, not spoken by the user: {})"

Messages = list[wire.ClientMessage]


class CommandWriter:
    """Writes every command but `CreateResponse` and `CancelResponse`, see `reply`."""

    def __init__(
        self,
        quirks: GeminiQuirks,
        tool_calls: ToolCallTracker,
        *,
        is_manual: bool,
        input_sample_rate_hz: int,
    ) -> None:
        """is_manual: turns are begun and ended by us"""
        self._quirks = quirks
        self._tool_calls = tool_calls
        self._is_manual = is_manual
        self._audio_type = _AUDIO_TYPE.format(input_sample_rate_hz)
        self._images = ImageLimiter()
        self._held: list[wire.Content] = []
        # Messages went out that no reply was asked for yet.
        self._is_turn_open = False
        self._is_activity_open = False
        # A turn ended that the model answers by itself.
        self._is_answer_due = False
        self._writers: dict[type, Callable[[Any], Messages]] = {
            ours.AppendAudio: self._append,
            ours.CommitAudio: self._commit,
            ours.ClearAudio: self._clear,
            ours.AddToolOutput: self._add_output,
            ours.UpdateSettings: self._update,
        }

    def write(self, command: ModelCommand, *, is_replying: bool, now_s: float) -> Messages:
        """Return the messages for `command`, in order.

        is_replying: a reply is being made that must not be stopped

        Raises:
            UnsupportedCommandError: there is no message for it.
        """
        if isinstance(command, ours.AddImage):
            return self._show(command, now_s)
        due = self._due_image(now_s)
        if (content := self._as_content(command)) is not None:
            return [*due, *self._add(content, is_replying)]
        if (writer := self._writers.get(type(command))) is None:
            raise UnsupportedCommandError("this model cannot change its conversation")
        return [*due, *writer(command)]

    # -- speech --------------------------------------------------------------------------------

    def _append(self, command: ours.AppendAudio) -> Messages:
        audio = wire.to_blob(command.pcm, self._audio_type)
        messages = [_realtime(audio=audio)]
        if self._is_manual and not self._is_activity_open:
            self._is_activity_open = True
            messages.insert(0, _realtime(activity_start=wire.Nothing()))
        return messages

    def _commit(self, _command: ours.CommitAudio) -> Messages:
        if not self._is_manual:
            return [_realtime(audio_stream_end=True)]
        if not self._is_activity_open:
            return []
        self._is_activity_open = False
        self._is_answer_due = True
        return [_realtime(activity_end=wire.Nothing())]

    def _clear(self, _command: ours.ClearAudio) -> Messages:
        # What was sent cannot be taken back; it stays the beginning of the turn that follows.
        return []

    def _show(self, command: ours.AddImage, now_s: float) -> Messages:
        return _video(self._images.show(command.data, now_s=now_s))

    def _due_image(self, now_s: float) -> Messages:
        return _video(self._images.next_due(now_s=now_s))

    # -- the conversation ----------------------------------------------------------------------

    def _as_content(self, command: ModelCommand) -> wire.Content | None:
        match command:
            case ours.AddText(text, "assistant"):
                return _text("model", text)
            case ours.AddText(text, "system"):
                return _text("user", _NOTE.format(text))
            case ours.AddText(text):
                return _text("user", text)
            case ours.AddToolCall():
                return self._earlier_call(command)
            case ours.AddToolOutput() if not self._tool_calls.knows(command.call_id):
                return self._earlier_answer(command)
            case _:
                return None

    def _earlier_call(self, command: ours.AddToolCall) -> wire.Content:
        if not self._quirks.has_content:
            raise UnsupportedCommandError("nothing can be added to this model's conversation")
        self._tool_calls.note_earlier_call(command.call_id, command.name)
        call = wire.FunctionCall(
            id=command.call_id, name=command.name, args=_arguments(command.arguments)
        )
        return wire.Content(role="model", parts=[wire.Part(function_call=call)])

    def _earlier_answer(self, command: ours.AddToolOutput) -> wire.Content | None:
        answer = self._tool_calls.earlier_answer(command.call_id, command.output)
        if answer is None:
            return None
        return wire.Content(role="user", parts=[wire.Part(function_response=answer)])

    def _add(self, content: wire.Content, is_replying: bool) -> Messages:
        if len(self._held) >= MAX_HELD:
            raise UnsupportedCommandError("too many messages wait for the end of a reply")
        self._held.append(content)
        return [] if is_replying else self.flush()

    def flush(self) -> Messages:
        """Return what waited, without a request for a reply; call only while no reply is in progress."""
        if not self._held or not self._quirks.has_content:
            return []
        held, self._held = self._held, []
        self._is_turn_open = True
        return [
            wire.ClientMessage(client_content=wire.ClientContent(turns=held, turn_complete=False))
        ]

    def reply(self, instructions: str | None) -> Messages:
        """Request a reply to everything sent so far; it stops one that is in progress."""
        held, self._held = self._held, []
        if instructions is not None:
            held.append(_text("user", instructions))
        if not held and not self._is_turn_open and self._is_answer_due:
            return []
        self._is_turn_open = False
        if not self._quirks.has_content:
            texts = [part.text for content in held for part in content.parts if part.text]
            return [_realtime(text="\n".join(texts) or GO_ON)]
        content = (
            wire.ClientContent(turns=held, turn_complete=True)
            if held
            else wire.ClientContent(turn_complete=True)
        )
        return [wire.ClientMessage(client_content=content)]

    def note_reply(self) -> None:
        """The model began a reply."""
        self._is_answer_due = False

    # -- tools and settings --------------------------------------------------------------------

    def _add_output(self, command: ours.AddToolOutput) -> Messages:
        answers = self._tool_calls.answer(
            command.call_id, command.output, is_silent=not command.start_response
        )
        return tool_response(answers)

    def _update(self, command: ours.UpdateSettings) -> Messages:
        try:
            update = changed_context(command.changes)
        except InvalidSettingsError as error:
            raise UnsupportedCommandError(str(error)) from error
        if (tools := command.changes.get("tools")) is not None:
            self._tool_calls.declare(tools)
        return [wire.ClientMessage(context_update=update)] if update.model_fields_set else []


def tool_response(answers: list[wire.FunctionResponse]) -> Messages:
    """Answers in one message; none without any."""
    if not answers:
        return []
    return [wire.ClientMessage(tool_response=wire.ToolResponse(function_responses=answers))]


def _realtime(**what: Any) -> wire.ClientMessage:
    return wire.ClientMessage(realtime_input=wire.RealtimeInput(**what))


def _video(jpeg: bytes | None) -> Messages:
    return [] if jpeg is None else [_realtime(video=wire.to_blob(jpeg, "image/jpeg"))]


def _text(role: str, text: str) -> wire.Content:
    return wire.Content(role=role, parts=[wire.Part(text=text)])


def _arguments(text: str) -> dict[str, Any]:
    try:
        return read_object(text or "{}")
    except InvalidJsonError:
        return {"arguments": mend_text(text)}

"""From Gemini's server messages to provider-neutral events. Pure; one mapper a session.

Gemini gives no ids, does not announce the start of a reply, and promises no order between
transcripts and audio. So turns are delimited here:

- A reply begins with the first thing said, written or called in it, and is done when the server
  says that the turn is over. What comes between an interruption and that belongs to the old reply.
- The user's speech begins with the server's voice activity where it sends that, and otherwise with
  whatever shows it first: an interruption, or first words while no reply is being made. First
  words that come while one is being made are what it answers: they never interrupt it.
- Transcripts are settled when their turn is over, or by the server's `finished` if it comes.
"""

from __future__ import annotations

import json
from collections.abc import Container
from typing import Final

from realtime import events as ours
from realtime.events import ModelEvent, Usage
from realtime.gemini import wire
from realtime.gemini.tool_calls import ToolCallTracker
from realtime.gemini.turns import MakeId, Reply, UserTurn
from realtime.lenient_parsing import clean
from realtime.openai.wire.base import new_id
from realtime.streams import PcmStream

LATE_S: Final = 1.0
"""Output that comes later than this after an interruption is a new reply, even if the end of the
old one was never announced."""

ONSET_MS: Final = 500
"""By how much a beginning that shows itself only by its effects is dated back."""

_BYTES_PER_SAMPLE: Final = 2
_GOOD_REASONS: Final = frozenset({"", "TURN_COMPLETE_REASON_UNSPECIFIED", "NEED_MORE_INPUT"})


class GeminiMapper:
    """Turns each server message into events of ours: none, one or several."""

    def __init__(
        self,
        tool_calls: ToolCallTracker,
        *,
        input_sample_rate_hz: int,
        output_sample_rate_hz: int,
        is_manual: bool = False,
        make_id: MakeId = new_id,
    ) -> None:
        """
        tool_calls: learns of calls
        is_manual: turns are begun and ended by us, so that nothing shows a beginning
        """
        self._tool_calls = tool_calls
        self._bytes_per_s = input_sample_rate_hz * _BYTES_PER_SAMPLE
        self._output_sample_rate_hz = output_sample_rate_hz
        self._is_manual = is_manual
        self._make_id = make_id
        self._user: UserTurn | None = None
        self._reply: Reply | None = None
        self._sent_bytes = 0
        # A text turn sent by us is about to cut the reply: there was no speech.
        self._is_cut_by_us = False
        self._released: list[wire.FunctionResponse] = []
        self._voice_stream = PcmStream()
        # Calls of the reply in progress, to recognise a repeated one.
        self._emitted: set[tuple[str | None, str, str]] = set()

    # -- what we did ---------------------------------------------------------------------------

    @property
    def active_response(self) -> str | None:
        """The reply in progress, unless it was cancelled."""
        reply = self._reply
        return reply.response_id if reply is not None and reply.is_in_the_making else None

    def note_audio(self, size_bytes: int) -> None:
        """User audio was sent."""
        self._sent_bytes += size_bytes

    def note_written_turn(self) -> None:
        """A message was sent that stops the reply in the making."""
        self._is_cut_by_us = self._reply is not None and self._reply.interrupted_at_s is None

    def cancel(self) -> None:
        """Leave out what is still to come of the reply in the making."""
        if self._reply is not None:
            self._reply.cancel()

    def take_released(self) -> list[wire.FunctionResponse]:
        """Answers to calls that may go out since other calls were cancelled."""
        released, self._released = self._released, []
        return released

    # -- what the server says ------------------------------------------------------------------

    def map(self, message: wire.ServerMessage, *, now_s: float) -> list[ModelEvent]:
        """Return the events of `message`; malformed audio becomes an error among them."""
        content = message.server_content or wire.ServerContent()
        return [
            *self._voice_activity(message),
            *self._interruption(content, now_s),
            *self._heard(content),
            *self._said(content, now_s),
            *self._calls(message.tool_call, now_s),
            *self._cancellation(message.tool_call_cancellation),
            *self._endings(content, message.usage_metadata),
            *_session_news(message),
        ]

    @property
    def _position_ms(self) -> int:
        return self._sent_bytes * 1000 // self._bytes_per_s

    def _voice_activity(self, message: wire.ServerMessage) -> list[ModelEvent]:
        if self._is_manual:
            return []
        activity, signal = message.voice_activity, message.voice_activity_detection_signal
        kind = activity.type if activity is not None else ""
        kind = kind or (signal.vad_signal_type if signal is not None else "")
        offset_ms = wire.duration_ms(activity.audio_offset) if activity is not None else None
        at_ms = self._position_ms if offset_ms is None else offset_ms
        if kind.endswith(("START", "SOS")):
            return self._begin_speech(at_ms)
        if kind.endswith(("END", "EOS")) and self._user is not None:
            return self._user.stop(at_ms=at_ms)
        return []

    def _begin_speech(self, at_ms: int) -> list[ModelEvent]:
        # The same beginning may show itself twice, by activity and by what it interrupts.
        if self._user is not None and not self._user.is_over:
            return []
        settled = self._settle_user()
        self._user = UserTurn(self._make_id("item"), is_announced=not self._is_manual)
        if self._is_manual:
            return settled
        return [*settled, ours.SpeechStarted(self._user.item_id, at_ms)]

    def _settle_user(self) -> list[ModelEvent]:
        user, self._user = self._user, None
        return [] if user is None else user.settle(at_ms=self._position_ms)

    @property
    def _onset_ms(self) -> int:
        return max(0, self._position_ms - ONSET_MS)

    def _interruption(self, content: wire.ServerContent, now_s: float) -> list[ModelEvent]:
        if not content.interrupted:
            return []
        reply, is_cut_by_us = self._reply, self._is_cut_by_us
        self._is_cut_by_us = False
        events = [] if is_cut_by_us else self._begin_speech(self._onset_ms)
        if reply is None:
            return [*events, ours.Interrupted()]
        reply.interrupt(now_s=now_s, reason="client_cancelled" if is_cut_by_us else "turn_detected")
        return [*events, ours.Interrupted(reply.response_id)]

    def _heard(self, content: wire.ServerContent) -> list[ModelEvent]:
        events: list[ModelEvent] = []
        transcript = content.input_transcription
        if self._user is None and (transcript or content.interim_input_transcription) is not None:
            events += self._open_by_words()
        if transcript is None or self._user is None:
            return events
        events += self._user.hear(transcript.text)
        return [*events, *self._settle_user()] if transcript.finished else events

    def _open_by_words(self) -> list[ModelEvent]:
        if self._reply is None or not self._reply.is_in_the_making:
            return self._begin_speech(self._onset_ms)
        self._user = UserTurn(self._make_id("item"), is_announced=False, is_over=True)
        if self._reply.answers is None:
            self._reply.answers = self._user
        return []

    def _said(self, content: wire.ServerContent, now_s: float) -> list[ModelEvent]:
        events: list[ModelEvent] = []
        for part in content.model_turn.parts if content.model_turn is not None else ():
            blob = part.inline_data
            if blob is not None and blob.mime_type.startswith("audio/"):
                events += self._voice(blob, now_s)
            elif part.text and not part.thought:
                reply, began = self._open_reply(now_s)
                events += [*began, *reply.read(part.text)]
        if (words := content.output_transcription) is not None and words.text:
            reply, began = self._open_reply(now_s)
            events += [*began, *reply.hear_words(words.text)]
        return events

    def _voice(self, blob: wire.Blob, now_s: float) -> list[ModelEvent]:
        try:
            pcm = self._voice_stream.push(blob.data)
        except ValueError as error:
            return [ours.ProviderError("malformed_event", f"inlineData: {error}")]
        if not pcm:
            return []
        reply, began = self._open_reply(now_s)
        rate_hz = _rate_hz(blob.mime_type, self._output_sample_rate_hz)
        return [*began, *reply.hear_audio(pcm, rate_hz)]

    def _open_reply(self, now_s: float) -> tuple[Reply, list[ModelEvent]]:
        """Return the reply that goes on now, and its first events if it begins here."""
        events: list[ModelEvent] = []
        cut_s = self._reply.interrupted_at_s if self._reply is not None else None
        if cut_s is not None and now_s - cut_s > LATE_S:
            events += self._end_reply(None)
        if self._reply is None:
            events += self._begin_reply()
        assert self._reply is not None
        return self._reply, events

    def _begin_reply(self) -> list[ModelEvent]:
        self._reply = Reply(self._make_id, answers=self._user)
        stopped = [] if self._user is None else self._user.stop(at_ms=self._position_ms)
        return [*stopped, ours.ResponseCreated(self._reply.response_id)]

    def _calls(self, tool_call: wire.ToolCall | None, now_s: float) -> list[ModelEvent]:
        calls: dict[str, wire.FunctionCall] = {}
        for call in tool_call.function_calls if tool_call is not None else ():
            if call.name and not self._is_repeated(call):
                calls[self._call_id(call.id, calls)] = call
                self._emitted.add(_identity(call))
        self._tool_calls.note_calls(list(calls.items()))
        events: list[ModelEvent] = []
        for call_id, call in calls.items():
            reply, began = self._open_reply(now_s)
            arguments = json.dumps(call.args, ensure_ascii=False, allow_nan=False)
            events += [*began, *reply.call(call_id, call.name, arguments)]
        return events

    def _is_repeated(self, call: wire.FunctionCall) -> bool:
        """True if this very call was emitted already, in the same reply."""
        return call.id is not None and _identity(call) in self._emitted

    def _call_id(self, wire_id: str | None, taken: Container[str]) -> str:
        """Theirs, unless it is that of another call which is still open or was cancelled."""
        if wire_id and wire_id not in taken and not self._tool_calls.knows(wire_id):
            return wire_id
        return self._make_id("call")

    def _cancellation(self, message: wire.ToolCallCancellation | None) -> list[ModelEvent]:
        if message is None or not message.ids:
            return []
        ours_ids = [self._tool_calls.open_call(wire_id) or wire_id for wire_id in message.ids]
        self._released += self._tool_calls.cancel(ours_ids)
        return [ours.ToolCallCancelled(tuple(ours_ids))]

    def _endings(
        self, content: wire.ServerContent, usage: wire.UsageMetadata | None
    ) -> list[ModelEvent]:
        events: list[ModelEvent] = []
        if self._reply is not None and usage is not None:
            self._reply.usage = _usage(usage)
        if self._reply is not None and content.generation_complete:
            events += self._reply.end_generation()
        if not content.is_turn_over:
            return events
        reason = content.turn_complete_reason
        failure = None if reason in _GOOD_REASONS else reason.lower()
        if self._reply is None and failure is not None:
            # The whole turn was refused: the waiting request for a reply has to end.
            events += self._begin_reply()
        if self._reply is None:
            return [*events, *self._settle_user()] if content.turn_complete else events
        return [*events, *self._end_reply(failure)]

    def _end_reply(self, failure: str | None) -> list[ModelEvent]:
        reply, self._reply = self._reply, None
        self._voice_stream = PcmStream()
        self._emitted.clear()
        assert reply is not None
        self._is_cut_by_us = False
        # The user was speaking already and goes on.
        settled = self._settle_user() if reply.answers is self._user else []
        return [*settled, *reply.end(failure=failure)]


def _identity(call: wire.FunctionCall) -> tuple[str | None, str, str]:
    return call.id, call.name, json.dumps(call.args, sort_keys=True)


def _session_news(message: wire.ServerMessage) -> list[ModelEvent]:
    events: list[ModelEvent] = []
    if message.go_away is not None:
        events.append(ours.GoAwayReceived(wire.duration_ms(message.go_away.time_left)))
    if (update := message.session_resumption_update) is not None:
        handle = update.new_handle if update.resumable else ""
        events.append(ours.ResumptionUpdated(handle or None))
    for name, value in (message.model_extra or {}).items():
        events.append(
            ours.UnknownEventReceived(name, clean(value) if isinstance(value, dict) else {})
        )
    return events


def _rate_hz(mime_type: str, default: int) -> int:
    """The rate in `audio/pcm;rate=24000`."""
    for parameter in mime_type.split(";")[1:]:
        name, _, value = parameter.strip().partition("=")
        if name == "rate" and value.isdecimal() and 8_000 <= int(value) <= 192_000:
            return int(value)
    return default


def _usage(usage: wire.UsageMetadata) -> Usage:
    details: dict[str, int] = {
        f"{side}_{each.modality.lower()}_tokens": each.token_count
        for side, counts in (
            ("input", usage.prompt_tokens_details),
            ("output", usage.response_tokens_details),
        )
        for each in counts
    }
    further = {
        "input_cached_tokens": usage.cached_content_token_count,
        "input_tool_use_tokens": usage.tool_use_prompt_token_count,
        "output_thought_tokens": usage.thoughts_token_count,
    }
    details |= {name: count for name, count in further.items() if count}
    return Usage(
        input_tokens=usage.prompt_token_count,
        output_tokens=usage.response_token_count,
        total_tokens=usage.total_token_count,
        details=details,
    )

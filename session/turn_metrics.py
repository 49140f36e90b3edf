"""Measures every turn of a call and publishes the timings."""

from __future__ import annotations

import time
from typing import Any

from conversation.events import server_events as out
from conversation.turn_taking.speakers import Speakers, VoiceChange
from conversation.turn_timings import TurnClock, TurnTimings
from realtime import events as model
from session.context import Handlers, SessionContext
from session.vitals_reporter import heard_after_ms
from utils import wall_clock_ms


class TurnMetrics:
    """Feeds a `TurnClock` with events and the time."""

    def __init__(self, context: SessionContext, speakers: Speakers) -> None:
        self._publisher = context.publisher
        self._line = context.line
        self._speakers = speakers
        self._clock = TurnClock()

    def handlers(self) -> Handlers:
        """Reactions to model events."""
        return {
            model.SpeechStopped: self._handle_turn_end,
            model.InputCommitted: self._handle_turn_end,
            model.InputTranscriptDone: self._handle_words,
            model.ResponseCreated: self._handle_response,
            model.TranscriptDelta: self._handle_first_byte,
            model.TextDelta: self._handle_first_byte,
            model.AudioDelta: self._handle_first_byte,
            model.ToolCallDelta: self._handle_first_byte,
            model.ToolCallRequested: self._handle_first_byte,
        }

    def handle_voice(self, change: VoiceChange) -> None:
        """Note a change of the local voice level."""
        if change.is_speaking:
            self._clock.voice_started()
        elif not self._speakers.is_any_speaking:
            self._clock.voice_stopped(change.at_s)

    def handle_ended_by_hand(self) -> None:
        """Note the end of a manual turn."""
        self._publish(self._clock.turn_ended(None, time.monotonic()))

    def handle_written(self) -> None:
        """Note a written turn."""
        self._publish(self._clock.turn_written(time.monotonic()))

    def handle_playout_started(self, key: tuple[str, str, int]) -> None:
        """Note that the first sample of a content part left."""
        way_ms = heard_after_ms(self._line.statistics())
        timings = self._clock.playout_started(key[0], time.monotonic(), heard_after_ms=way_ms)
        self._publish(timings)

    async def _handle_turn_end(self, event: model.SpeechStopped | model.InputCommitted) -> None:
        self._publish(self._clock.turn_ended(event.item_id, time.monotonic()))

    async def _handle_words(self, event: model.InputTranscriptDone) -> None:
        if not event.transcript.strip():
            self._clock.turn_dropped(event.item_id)

    async def _handle_response(self, event: model.ResponseCreated) -> None:
        self._clock.response_created(event.response_id, time.monotonic())

    async def _handle_first_byte(self, event: Any) -> None:
        self._clock.model_spoke(event.response_id, time.monotonic())

    def _publish(self, timings: TurnTimings | None) -> None:
        if timings is not None:
            # A reply that nobody heard is reported by the turn after it.
            age_ms = (time.monotonic() - self._clock.endpoint_s) * 1000
            at_ms = wall_clock_ms() - round(age_ms)
            timings = timings.model_copy(update={"endpoint_at_ms": at_ms})
            self._publisher.publish(out.AgentTurnMeasured, timings=timings)

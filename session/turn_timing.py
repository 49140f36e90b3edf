"""Measures every turn of a call and tells it to everybody."""

from __future__ import annotations

import time
from typing import Any

from conversation import server_events as out
from conversation.speakers import Speakers, VoiceChange
from conversation.turn_timings import TurnClock, TurnTimings
from realtime import events as model
from session.context import Handlers, SessionContext
from session.vital_signs import heard_after_ms


class TurnTiming:
    """Gives a `TurnClock` the time."""

    def __init__(self, context: SessionContext, speakers: Speakers) -> None:
        self._publisher = context.publisher
        self._channel = context.channel
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
        """Somebody's voice began or ended."""
        if change.is_speaking:
            self._clock.voice_started()
        elif not self._speakers.is_anybody_speaking:
            self._clock.voice_stopped(change.at_s)

    def handle_ended_by_hand(self) -> None:
        """Somebody said that the turn is over."""
        self._tell(self._clock.turn_ended(None, time.monotonic()))

    def handle_written(self) -> None:
        """Somebody wrote."""
        self._tell(self._clock.turn_written(time.monotonic()))

    def handle_playout_started(self, key: tuple[str, str, int]) -> None:
        """The first sample of a content part left."""
        way_ms = heard_after_ms(self._channel.statistics())
        timings = self._clock.playout_started(key[0], time.monotonic(), heard_after_ms=way_ms)
        self._tell(timings)

    async def _handle_turn_end(self, event: model.SpeechStopped | model.InputCommitted) -> None:
        self._tell(self._clock.turn_ended(event.item_id, time.monotonic()))

    async def _handle_words(self, event: model.InputTranscriptDone) -> None:
        if not event.transcript.strip():
            self._clock.turn_dropped(event.item_id)

    async def _handle_response(self, event: model.ResponseCreated) -> None:
        self._clock.response_created(event.response_id, time.monotonic())

    async def _handle_first_byte(self, event: Any) -> None:
        self._clock.model_spoke(event.response_id, time.monotonic())

    def _tell(self, timings: TurnTimings | None) -> None:
        if timings is not None:
            self._publisher.publish(out.AgentTurnMeasured, timings=timings)

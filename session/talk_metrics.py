"""Publishes pauses, and both voices at once."""

from __future__ import annotations

import time
from collections.abc import Callable

from conversation.events import server_events as out
from conversation.talk_clock import Talk, TalkClock
from conversation.turn_taking.speakers import Speakers, VoiceChange
from session.context import SessionContext
from utils import wall_clock_ms


class TalkMetrics:
    """Feeds a `TalkClock` with the local voice level and the agent's playout."""

    def __init__(
        self, context: SessionContext, speakers: Speakers, *, is_playing: Callable[[], bool]
    ) -> None:
        """is_playing: true while audio of a reply is played"""
        self._is_playing = is_playing
        self._publisher = context.publisher
        self._speakers = speakers
        self._clock = TalkClock()
        self._publisher.listeners.append(self._handle_event)

    def handle_voice(self, change: VoiceChange) -> None:
        """Note a change of the local voice level."""
        if change.is_speaking or not self._speakers.is_any_speaking:
            found = self._clock.user_changed(change.at_s, is_speaking=change.is_speaking)
            self._publish(found)

    def handle_playout_started(self, _key: object) -> None:
        """Note that the first sample of a content part left."""
        self._note_agent(is_speaking=True)

    def _handle_event(self, event: out.ServerEvent) -> None:
        match event:
            case out.AgentPlayoutDone() | out.AgentPaused() | out.AgentInterrupted():
                self._note_agent(is_speaking=False)
            case out.AgentResumed():
                self._note_agent(is_speaking=self._is_playing())
            case _:
                pass

    def _note_agent(self, *, is_speaking: bool) -> None:
        self._publish(self._clock.agent_changed(time.monotonic(), is_speaking=is_speaking))

    def _publish(self, found: list[Talk]) -> None:
        for talk in found:
            age_ms = round((time.monotonic() - talk.began_s) * 1000)
            self._publisher.publish(
                out.AgentTalkMeasured,
                kind=talk.kind,
                began_at_ms=wall_clock_ms() - age_ms,
                duration_ms=round((talk.ended_s - talk.began_s) * 1000),
            )

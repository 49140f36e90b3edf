"""What shows whether a call is alive, beyond a loop that turns."""

from __future__ import annotations

import time
from typing import Any

from conversation.limits import LimitWatch
from conversation.vitals import Vitals
from realtime import events as model
from realtime.resilient import ResilientModel
from rtc.channel import Channel
from session.context import Handlers


class VitalSigns:
    """Follows questions and replies; reads the rest where it is."""

    def __init__(self, channel: Channel, *, is_answering: bool) -> None:
        """is_answering: every question is meant to get a reply without being asked for one"""
        self._channel = channel
        self._is_answering = is_answering
        # What people said since the last reply began.
        self._open_items: set[str] = set()
        self._asked_s: float | None = None

    def handlers(self) -> Handlers:
        """Reactions to model events."""
        return {
            model.InputCommitted: self._handle_committed,
            model.InputTranscriptDone: self._handle_words,
            model.ResponseCreated: self._handle_answer,
            model.AudioDelta: self._handle_answer,
            model.ToolCallRequested: self._handle_answer,
        }

    async def _handle_committed(self, event: model.InputCommitted) -> None:
        self._open_items.add(event.item_id)

    async def _handle_words(self, event: model.InputTranscriptDone) -> None:
        # Words may come after the reply to them, or be said over one that goes on; none, no question.
        is_open = event.item_id in self._open_items
        is_quiet = self._channel.playout_position() is None
        if self._is_answering and is_open and is_quiet and event.transcript.strip():
            self._asked_s = time.monotonic()

    async def _handle_answer(self, _event: Any) -> None:
        self.handle_reply()

    def handle_reply(self, *_: object) -> None:
        """A reply begins, is heard, or ends."""
        self._open_items.clear()
        self._asked_s = None

    def take(self, lasting: ResilientModel, spent: LimitWatch) -> Vitals:
        """How the call is now."""
        statistics = self._channel.statistics()
        people = [user.uid for user in self._channel.remote_users.values() if user.role == "user"]
        media = [statistics.users[uid] for uid in people if uid in statistics.users]
        ages_s = [one.last_packet_age_s for one in media if one.last_packet_age_s is not None]
        return Vitals(
            users=len(people),
            connected_users=sum(one.connection == "connected" for one in media),
            inbound_age_s=_rounded(min(ages_s, default=None)),
            packets_sent=statistics.packets_sent,
            is_speaking=statistics.queued_ms > 0 and not statistics.is_muted,
            model_event_age_s=_age_s(lasting.last_event_s),
            tokens=spent.tokens,
            cost=round(spent.cost, 6),
            unanswered_s=_age_s(self._asked_s),
        )


def _age_s(at_s: float | None) -> float | None:
    return None if at_s is None else _rounded(time.monotonic() - at_s)


def _rounded(age_s: float | None) -> float | None:
    return None if age_s is None else round(age_s, 3)

"""What shows whether a call is alive, beyond a loop that turns."""

from __future__ import annotations

import time
from typing import Any, Final

from boundary import Boundary
from conversation.limits import LimitWatch
from conversation.tally import Tally
from conversation.vitals import InputFailures, MediaCounts, Vitals
from realtime import events as model
from realtime.lasting.resilient import ResilientModel
from rtc.channel import Channel
from rtc.options import ChannelStatistics
from session.context import Handlers
from session.turn_policy import TurnPolicy

_RECEIVED: Final = (
    "packets_received",
    "packets_lost",
    "packets_late",
    "packets_corrupt",
    "frames_recovered",
    "frames_concealed",
    "frames_filled",
    "frames_dropped",
)


class VitalSigns:
    """Follows questions and replies; reads the rest where it is."""

    def __init__(self, channel: Channel, policy: TurnPolicy, boundary: Boundary) -> None:
        self._boundary = boundary
        self._channel = channel
        self._policy = policy
        # What people said since the last reply began.
        self._open_items: set[str] = set()
        self._asked_s: float | None = None
        # Of people who left, too.
        self._received = Tally()

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
        if (
            self._policy.is_every_turn_answered
            and is_open
            and is_quiet
            and event.transcript.strip()
        ):
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
        media_counts = self._media_counts(statistics)
        people = [user.uid for user in self._channel.remote_users.values() if user.role == "user"]
        media = [statistics.users[uid] for uid in people if uid in statistics.users]
        ages_s = [one.last_packet_age_s for one in media if one.last_packet_age_s is not None]
        return Vitals(
            users=len(people),
            connected_users=sum(one.connection == "connected" for one in media),
            inbound_age_s=_rounded(min(ages_s, default=None)),
            packets_sent=statistics.packets_sent,
            media=media_counts,
            input_failures=InputFailures(
                **{str(kind): n for kind, n in self._boundary.failures.items()}
            ),
            jitter_delay_ms=max((one.delay_ms for one in media), default=None),
            heard_after_ms=heard_after_ms(statistics),
            is_speaking=statistics.queued_ms > 0 and not statistics.is_muted,
            model_event_age_s=_age_s(lasting.last_event_s),
            tokens=spent.tokens,
            cost=round(spent.cost, 6),
            unanswered_s=_age_s(self._asked_s),
        )

    def _media_counts(self, statistics: ChannelStatistics) -> MediaCounts:
        for uid, one in statistics.users.items():
            self._received.update(uid, {name: getattr(one, name) for name in _RECEIVED})
        self._received.retain(statistics.users)
        return MediaCounts(
            packets_sent=statistics.packets_sent,
            underruns=statistics.underruns,
            playout_stalls=statistics.playout_stalls,
            **{name: int(count) for name, count in self._received.sums.items()},
        )


def heard_after_ms(statistics: ChannelStatistics) -> float | None:
    """How long what leaves now takes until everybody of whom it is known has heard it."""
    known = [one.heard_after_ms for one in statistics.users.values()]
    return max((each for each in known if each is not None), default=None)


def _age_s(at_s: float | None) -> float | None:
    return None if at_s is None else _rounded(time.monotonic() - at_s)


def _rounded(age_s: float | None) -> float | None:
    return None if age_s is None else round(age_s, 3)

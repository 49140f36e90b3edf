"""Collects the vitals of a call: signs of life beyond a running event loop."""

from __future__ import annotations

import time
from typing import Any, Final

from conversation.counters import CounterTotals
from conversation.limits import LimitWatch
from conversation.vitals import InputFailures, MediaCounts, Vitals
from line.line import Line
from line.statistics import LineStatistics
from realtime import events as model
from realtime.group.model import GroupModel
from realtime.resilience.model import ResilientModel
from session.context import Handlers
from session.turn_policy import TurnPolicy
from untrusted.boundary import Boundary

# Fields of a user's statistics that are summed up over all users.
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


class VitalsReporter:
    """Follows questions and replies; reads everything else when asked."""

    def __init__(self, line: Line, policy: TurnPolicy, boundary: Boundary) -> None:
        self._boundary = boundary
        self._line = line
        self._policy = policy
        # Committed user items since the last reply began.
        self._open_items: set[str] = set()
        # Time of the first question without a reply (monotonic).
        self._asked_s: float | None = None
        # Includes users that left.
        self._received = CounterTotals()

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
        # A transcript may follow the reply to it or be backchannel over one; an empty one is no question.
        is_open = event.item_id in self._open_items
        is_quiet = self._line.playout_position() is None
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
        """Note that a reply begins, is heard, or ends."""
        self._open_items.clear()
        self._asked_s = None

    def take(self, resilient: ResilientModel | GroupModel, limits: LimitWatch) -> Vitals:
        """Return the vitals at this moment."""
        statistics = self._line.statistics()
        media_counts = self._media_counts(statistics)
        users = [user.uid for user in self._line.remote_users.values() if user.role == "user"]
        media = [statistics.users[uid] for uid in users if uid in statistics.users]
        ages_s = [one.last_packet_age_s for one in media if one.last_packet_age_s is not None]
        return Vitals(
            users=len(users),
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
            model_event_age_s=_age_s(resilient.last_event_s),
            tokens=limits.tokens,
            cost=round(limits.cost, 6),
            unanswered_s=_age_s(self._asked_s),
        )

    def _media_counts(self, statistics: LineStatistics) -> MediaCounts:
        for uid, one in statistics.users.items():
            self._received.update(uid, {name: getattr(one, name) for name in _RECEIVED})
        self._received.retain(statistics.users)
        return MediaCounts(
            packets_sent=statistics.packets_sent,
            underruns=statistics.underruns,
            playout_stalls=statistics.playout_stalls,
            **{name: int(count) for name, count in self._received.sums.items()},
        )


def heard_after_ms(statistics: LineStatistics) -> float | None:
    """Return the longest known time from sending to being heard, over all listeners."""
    known = [one.heard_after_ms for one in statistics.users.values()]
    return max((each for each in known if each is not None), default=None)


def _age_s(at_s: float | None) -> float | None:
    return None if at_s is None else _rounded(time.monotonic() - at_s)


def _rounded(age_s: float | None) -> float | None:
    return None if age_s is None else round(age_s, 3)

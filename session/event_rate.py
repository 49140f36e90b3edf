"""Rate limit of client events, per participant."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from utils import BoundedDict, TokenBucket

EVENTS_PER_S: Final = 50.0
EVENT_BURST: Final = 100
MAX_SENDERS: Final = 64
"""Of more people in one call the one who was quiet longest begins anew."""


@dataclass(slots=True)
class _Sender:
    events: TokenBucket = field(default_factory=lambda: TokenBucket(EVENTS_PER_S, EVENT_BURST))
    # An answer to every dropped event would amplify a flood.
    answers: TokenBucket = field(default_factory=lambda: TokenBucket(1.0, 1))


class EventRate:
    """Counts the events of each participant; time is an argument (monotonic)."""

    def __init__(self) -> None:
        self._senders: BoundedDict[int, _Sender] = BoundedDict(MAX_SENDERS)

    def allow(self, uid: int, *, now_s: float) -> bool:
        """Count an event; return false if it exceeds the rate."""
        return self._sender(uid).events.allow(now_s)

    def should_answer(self, uid: int, *, now_s: float) -> bool:
        """Return true if a dropped event should be answered: at most once a second."""
        return self._sender(uid).answers.allow(now_s)

    def _sender(self, uid: int) -> _Sender:
        sender = self._senders.setdefault(uid, _Sender())
        self._senders.move_to_end(uid)
        return sender

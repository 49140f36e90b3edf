"""How many events each person may send: more than any program needs, fewer than would cost us."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

from rtc.rate_limit import RateLimit

EVENTS_PER_S: Final = 50.0
EVENT_BURST: Final = 100
MAX_PEOPLE: Final = 64
"""Of more people in one call the one who was quiet longest begins anew."""


@dataclass(slots=True)
class _Person:
    events: RateLimit = field(default_factory=lambda: RateLimit(EVENTS_PER_S, EVENT_BURST))
    # An answer to each event too many would help a flood along.
    answers: RateLimit = field(default_factory=lambda: RateLimit(1.0, 1))


class EventPace:
    """Counts each person's events; time is an argument (monotonic)."""

    def __init__(self) -> None:
        self._people: OrderedDict[int, _Person] = OrderedDict()

    def allow(self, uid: int, *, now_s: float) -> bool:
        """Count an event; False when it is one too many."""
        return self._person(uid).events.allow(now_s)

    def should_answer(self, uid: int, *, now_s: float) -> bool:
        """Whether to tell this person of a dropped event: once a second."""
        return self._person(uid).answers.allow(now_s)

    def _person(self, uid: int) -> _Person:
        person = self._people.setdefault(uid, _Person())
        self._people.move_to_end(uid)
        if len(self._people) > MAX_PEOPLE:
            self._people.popitem(last=False)
        return person

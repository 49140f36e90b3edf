"""Replies outside of the conversation that a session still owes. Pure; one a session.

They are made beside the conversation's own replies, and may be requested again whatever became of
those. One that the provider ignores is forgotten after a while: its sender has a deadline.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

from realtime import events as ours
from realtime.events import CreateResponse, ModelEvent, ResponseStatus

FORGOTTEN_S: Final = 30.0
"""After this long without a sign of a reply it is not owed any longer."""

MAX_OWED: Final = 16


@dataclass(frozen=True, slots=True)
class _Owed:
    request: CreateResponse
    news_s: float
    response_id: str | None = None


class SideReplies:
    """Follows requests and replies by the key of the request."""

    def __init__(self) -> None:
        self._owed: dict[str, _Owed] = {}

    def request(self, request: CreateResponse, *, now_s: float) -> None:
        """A reply was asked for."""
        assert request.out_of_band is not None
        self._owed.pop(request.out_of_band.key, None)
        self._owed[request.out_of_band.key] = _Owed(request, now_s)
        while len(self._owed) > MAX_OWED:
            del self._owed[next(iter(self._owed))]

    def takes(self, event: Any, *, now_s: float) -> bool:
        """True for an event of one of these replies, which is none of the conversation's."""
        if getattr(event, "out_of_band", None) is not None:
            self._follow(event, now_s)
            return True
        response_id = getattr(event, "response_id", None)
        if response_id is None or (key := self._key_of(response_id)) is None:
            return False
        self._owed[key] = replace(self._owed[key], news_s=now_s)
        return True

    def _follow(self, event: ours.ResponseCreated | ours.ResponseDone, now_s: float) -> None:
        assert event.out_of_band is not None
        key = event.out_of_band.key
        owed = self._owed.pop(key, None) or _Owed(CreateResponse(out_of_band=event.out_of_band), 0)
        if isinstance(event, ours.ResponseCreated):
            self._owed[key] = replace(owed, response_id=event.response_id, news_s=now_s)

    def _key_of(self, response_id: str) -> str | None:
        named = (key for key, owed in self._owed.items() if owed.response_id == response_id)
        return next(named, None)

    def has(self, response_id: str | None) -> bool:
        """True if this is one of these replies, in progress."""
        return response_id is not None and self._key_of(response_id) is not None

    def is_idle(self, *, now_s: float) -> bool:
        """True if none is awaited."""
        return not self.pending(now_s=now_s)

    def pending(self, *, now_s: float) -> list[CreateResponse]:
        """Return the requests to put to the next session, in order."""
        return [owed.request for owed in self._owed.values() if now_s - owed.news_s < FORGOTTEN_S]

    def endings(self, reason: str) -> list[ModelEvent]:
        """Events that end each reply that was begun."""
        events: list[ModelEvent] = []
        for owed in self._owed.values():
            if owed.response_id is not None:
                events += [
                    ours.GenerationDone(owed.response_id),
                    ours.ResponseDone(
                        owed.response_id,
                        ResponseStatus.FAILED,
                        reason,
                        metadata=owed.request.metadata or {},
                        out_of_band=owed.request.out_of_band,
                    ),
                ]
        return events

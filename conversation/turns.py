"""Whose turn it is, and which replies nobody should hear any more."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

_REMEMBERED_CUTS = 256


class TurnState(StrEnum):
    """Who has the floor."""

    IDLE = "idle"
    USER_SPEAKING = "user_speaking"
    THINKING = "thinking"
    AGENT_SPEAKING = "agent_speaking"


class Turns:
    """Follows speech, responses and playout; the state is derived from them, never stored."""

    def __init__(self) -> None:
        self._is_user_speaking = False
        self._active_response: str | None = None
        self._playing: str | None = None
        self._work: set[str] = set()
        # Insertion-ordered, so that the oldest can be forgotten: a late delta comes within
        # seconds of its cut, never hundreds of replies later.
        self._cut: dict[str, None] = {}

    @property
    def state(self) -> TurnState:
        """Who has the floor now."""
        if self._is_user_speaking:
            return TurnState.USER_SPEAKING
        if self._playing is not None:
            return TurnState.AGENT_SPEAKING
        if self._active_response is not None:
            return TurnState.THINKING
        return TurnState.IDLE

    @property
    def active_response(self) -> str | None:
        """The response the provider is still generating."""
        return self._active_response

    def speech_started(self) -> None:
        """The user began."""
        self._is_user_speaking = True

    def speech_stopped(self) -> None:
        """The user ended."""
        self._is_user_speaking = False

    def response_created(self, response_id: str) -> None:
        """The provider began a reply."""
        self._active_response = response_id

    def response_done(self, response_id: str) -> None:
        """The provider ended a reply."""
        if self._active_response == response_id:
            self._active_response = None

    def playout_started(self, response_id: str) -> None:
        """The first sample of a reply left for the listeners."""
        self._playing = response_id

    def playout_ended(self, response_id: str) -> None:
        """Nothing of this reply is being played any more."""
        if self._playing == response_id:
            self._playing = None

    def work_started(self, call_id: str) -> None:
        """Something began that the user can stop by speaking."""
        self._work.add(call_id)

    def work_ended(self, call_id: str) -> None:
        """It is over, one way or the other."""
        self._work.discard(call_id)

    @property
    def is_working(self) -> bool:
        """Whether an interruption would stop something, even if nothing is said."""
        return bool(self._work)

    def cut(self, audible: Iterable[str]) -> None:
        """Silence the reply in the making and those in `audible` for good."""
        silenced = set(audible)
        if self._active_response is not None:
            silenced.add(self._active_response)
        for response_id in silenced:
            self._cut[response_id] = None
            self.playout_ended(response_id)
        while len(self._cut) > _REMEMBERED_CUTS:
            del self._cut[next(iter(self._cut))]

    def is_cut(self, response_id: str) -> bool:
        """Whether this reply was silenced: its late deltas must not be played."""
        return response_id in self._cut

"""State of the turn, and the replies that were cut."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from utils import BoundedDict

# Bounds memory; see `_cut`.
_REMEMBERED_CUTS = 256


class TurnState(StrEnum):
    """Side that has the floor."""

    IDLE = "idle"
    USER_SPEAKING = "user_speaking"
    THINKING = "thinking"
    AGENT_SPEAKING = "agent_speaking"


class Turns:
    """Follows speech, responses and playout; the state is derived from them, never stored."""

    def __init__(self) -> None:
        self._is_user_speaking = False
        self._active_response: str | None = None
        # The response whose audio is playing out.
        self._playing: str | None = None
        # Running tool calls that an interruption cancels.
        self._work: set[str] = set()
        # Insertion-ordered, so that the oldest can be forgotten: a late delta comes within
        # seconds of its cut, never hundreds of replies later.
        self._cut: BoundedDict[str, None] = BoundedDict(_REMEMBERED_CUTS)

    @property
    def state(self) -> TurnState:
        """The current state."""
        if self._is_user_speaking:
            return TurnState.USER_SPEAKING
        if self._playing is not None:
            return TurnState.AGENT_SPEAKING
        if self._active_response is not None:
            return TurnState.THINKING
        return TurnState.IDLE

    @property
    def active_response(self) -> str | None:
        """The response that the provider is still generating."""
        return self._active_response

    def speech_started(self) -> None:
        """Note that the user began to speak."""
        self._is_user_speaking = True

    def speech_stopped(self) -> None:
        """Note that the user stopped."""
        self._is_user_speaking = False

    def response_created(self, response_id: str) -> None:
        """Note that the provider began a response."""
        self._active_response = response_id

    def response_done(self, response_id: str) -> None:
        """Note that the provider ended a response."""
        if self._active_response == response_id:
            self._active_response = None

    def playout_started(self, response_id: str) -> None:
        """Note that the first sample of a reply left for the listeners."""
        self._playing = response_id

    def playout_ended(self, response_id: str) -> None:
        """Note that the reply is no longer played."""
        if self._playing == response_id:
            self._playing = None

    def work_started(self, call_id: str) -> None:
        """Note the start of a tool call that an interruption would cancel."""
        self._work.add(call_id)

    def work_ended(self, call_id: str) -> None:
        """Note its end; idempotent."""
        self._work.discard(call_id)

    @property
    def is_working(self) -> bool:
        """True while an interruption would cancel a tool call, even in silence."""
        return bool(self._work)

    def cut(self, audible: Iterable[str], *, is_all: bool = True) -> None:
        """Silence those replies in `audible` for good, and with `is_all` the active one."""
        silenced = set(audible)
        if is_all and self._active_response is not None:
            silenced.add(self._active_response)
        for response_id in silenced:
            self._cut[response_id] = None
            self.playout_ended(response_id)

    def is_cut(self, response_id: str) -> bool:
        """Return true if this reply was silenced: its late deltas must not be played."""
        return response_id in self._cut

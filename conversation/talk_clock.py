"""Find long pauses, and times at which user and agent speak at once, as the call goes on. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

PAUSE_S: Final = 2.0
"""A silence of both that is longer is a pause."""

OVERLAP_S: Final = 0.2
"""Both voices at once for less are the end of one and the beginning of the other."""

BRIDGED_S: Final = 0.3
"""A shorter gap in the user's voice is one between words."""


@dataclass(frozen=True)
class Talk:
    """A pause, or both voices at once."""

    kind: Literal["pause", "overlap"]
    began_s: float
    ended_s: float


class TalkClock:
    """Takes the changes of both voices, and returns what each of them ends. Silence before the first
    voice is no pause, and a pause counts when it is over.
    """

    def __init__(self) -> None:
        self._is_user = False
        self._is_agent = False
        # The user's voice ended then, if it does not go on within `BRIDGED_S`; and how the agent's
        # changed since.
        self._user_end_s: float | None = None
        self._held: list[tuple[float, bool]] = []
        # Since then it is as it is; None before the first voice.
        self._since_s: float | None = None

    def user_changed(self, at_s: float, *, is_speaking: bool) -> list[Talk]:
        """Note that the users' voice began or ended."""
        found = self._settle(at_s)
        if not is_speaking:
            self._user_end_s = at_s if self._is_user else None
            return found
        self._user_end_s = None
        found += self._release()
        return found + self._change(at_s, is_user=True, is_agent=self._is_agent)

    def agent_changed(self, at_s: float, *, is_speaking: bool) -> list[Talk]:
        """Note that the agent's voice began or ended."""
        found = self._settle(at_s)
        self._held.append((at_s, is_speaking))
        return found if self._user_end_s is not None else found + self._release()

    def _settle(self, now_s: float) -> list[Talk]:
        """Take the user's voice as ended once it did not go on for long enough."""
        end_s = self._user_end_s
        if end_s is None or now_s - end_s < BRIDGED_S:
            return []
        self._user_end_s = None
        found = self._change(end_s, is_user=False, is_agent=self._is_agent)
        return found + self._release()

    def _release(self) -> list[Talk]:
        held, self._held = self._held, []
        found: list[Talk] = []
        for at_s, is_agent in held:
            found += self._change(at_s, is_user=self._is_user, is_agent=is_agent)
        return found

    def _change(self, at_s: float, *, is_user: bool, is_agent: bool) -> list[Talk]:
        before = (self._is_user, self._is_agent)
        if before == (is_user, is_agent):
            return []
        self._is_user, self._is_agent = is_user, is_agent
        since_s = self._since_s
        # A voice is noticed a little after it changed, perhaps after another change.
        self._since_s = at_s = at_s if since_s is None else max(at_s, since_s)
        if since_s is None:
            return []
        if before == (True, True) and at_s - since_s >= OVERLAP_S:
            return [Talk("overlap", since_s, at_s)]
        if before == (False, False) and at_s - since_s > PAUSE_S:
            return [Talk("pause", since_s, at_s)]
        return []

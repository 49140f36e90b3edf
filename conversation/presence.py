"""Presence of users, and the time at which an agent leaves. Time is an argument (monotonic
seconds).
"""

from __future__ import annotations

from dataclasses import dataclass

from conversation.lifecycle import ExitReason


@dataclass(frozen=True, slots=True)
class PresenceRules:
    """Rules for leaving an empty room.

    user_wait_s: for the first user, and for the next text of a user outside the room
    rejoin_grace_s: for the return of a user
    user_uid: the only user that counts; None: every user does
    """

    user_wait_s: float
    rejoin_grace_s: float
    user_uid: int | None = None


@dataclass(frozen=True, slots=True)
class Departure:
    """Leave at `at_s` for `reason`, unless a user joins before."""

    at_s: float
    reason: ExitReason


class Presence:
    """The users in the room. Agents do not count, so that two agents never keep each other in a
    room.
    """

    def __init__(self, rules: PresenceRules, *, now_s: float) -> None:
        self._rules = rules
        self._started_s = now_s
        # Time at which the last user left; the start before any came.
        self._empty_since_s = now_s
        # Time of the last text from outside the room.
        self._written_s: float | None = None
        self._present: set[int] = set()
        # Once a user was there, an empty room means that they left.
        self._had_user = False

    @property
    def has_user(self) -> bool:
        """True if a user that counts is in the room."""
        return bool(self._present)

    def counts(self, uid: int) -> bool:
        """Return true if this user keeps the agent in the room."""
        return self._rules.user_uid is None or uid == self._rules.user_uid

    def user_joined(self, uid: int) -> None:
        """Add a user."""
        if self.counts(uid):
            self._present.add(uid)
            self._had_user = True

    def user_left(self, uid: int, *, now_s: float) -> None:
        """Remove a user."""
        if uid in self._present:
            self._present.discard(uid)
            if not self._present:
                self._empty_since_s = now_s

    def note_written(self, *, now_s: float) -> None:
        """Note a text of a user outside the room (HTTP), who gives no other sign of presence."""
        self._written_s = now_s

    def departure(self) -> Departure | None:
        """Return the time and reason to leave as things stand; None: stay."""
        if self._present:
            return None
        ends: list[tuple[float, ExitReason]] = []
        if self._had_user:
            end_s = self._empty_since_s + self._rules.rejoin_grace_s
            ends.append((end_s, ExitReason.USER_LEFT))
        if not self._had_user or self._written_s is not None:
            since_s = self._started_s if self._written_s is None else self._written_s
            ends.append((since_s + self._rules.user_wait_s, ExitReason.NO_USER))
        return Departure(*max(ends))

"""Who the agent is there for, and when it should leave. Time is an argument (monotonic seconds)."""

from __future__ import annotations

from dataclasses import dataclass

from conversation.lifecycle import ExitReason


@dataclass(frozen=True, slots=True)
class PresenceRules:
    """When an agent leaves by itself.

    user_wait_s: for the first user, and for the next word of somebody who only writes from outside
    rejoin_grace_s: for somebody to come back
    user_uid: the only user who counts; None: any user does.
    """

    user_wait_s: float
    rejoin_grace_s: float
    user_uid: int | None = None


@dataclass(frozen=True, slots=True)
class Departure:
    """Leave at `at_s` for `reason`, unless somebody comes before."""

    at_s: float
    reason: ExitReason


class Presence:
    """The users in the room. Agents do not count: two of them must not keep each other alive."""

    def __init__(self, rules: PresenceRules, *, now_s: float) -> None:
        self._rules = rules
        self._started_s = now_s
        self._empty_since_s = now_s
        self._written_s: float | None = None
        self._present: set[int] = set()
        self._had_user = False

    @property
    def has_user(self) -> bool:
        """Whether somebody is there to talk to."""
        return bool(self._present)

    def counts(self, uid: int) -> bool:
        """Whether this user keeps the agent in the room."""
        return self._rules.user_uid is None or uid == self._rules.user_uid

    def user_joined(self, uid: int) -> None:
        """A user is in the room."""
        if self.counts(uid):
            self._present.add(uid)
            self._had_user = True

    def user_left(self, uid: int, *, now_s: float) -> None:
        """A user is no longer in the room."""
        if uid in self._present:
            self._present.discard(uid)
            if not self._present:
                self._empty_since_s = now_s

    def note_written(self, *, now_s: float) -> None:
        """Somebody wrote from outside the room, over HTTP: there is no other sign of such people."""
        self._written_s = now_s

    def departure(self) -> Departure | None:
        """When and why to leave as things stand; None: stay."""
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

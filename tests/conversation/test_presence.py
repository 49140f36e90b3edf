"""When an agent leaves by itself."""

from __future__ import annotations

from conversation.lifecycle import ExitReason
from conversation.presence import Departure, Presence, PresenceRules

RULES = PresenceRules(user_wait_s=30, rejoin_grace_s=10)


def test_nobody_comes() -> None:
    assert Presence(RULES, now_s=100).departure() == Departure(130, ExitReason.NO_USER)


def test_a_user_keeps_the_agent_and_the_last_to_leave_starts_the_grace() -> None:
    presence = Presence(RULES, now_s=0)
    presence.user_joined(1)
    presence.user_joined(2)
    presence.user_left(1, now_s=50)
    assert presence.departure() is None
    presence.user_left(2, now_s=60)
    assert presence.departure() == Departure(70, ExitReason.USER_LEFT)


def test_a_rejoin_within_the_grace_resumes() -> None:
    presence = Presence(RULES, now_s=0)
    presence.user_joined(1)
    presence.user_left(1, now_s=50)
    presence.user_joined(1)
    assert presence.departure() is None


def test_only_the_named_user_counts() -> None:
    presence = Presence(PresenceRules(30, 10, user_uid=7), now_s=0)
    presence.user_joined(8)
    assert not presence.has_user
    assert presence.departure() == Departure(30, ExitReason.NO_USER)
    presence.user_joined(7)
    presence.user_left(8, now_s=1)
    assert presence.departure() is None


def test_leaving_twice_does_not_move_the_grace() -> None:
    presence = Presence(RULES, now_s=0)
    presence.user_joined(1)
    presence.user_left(1, now_s=50)
    presence.user_left(1, now_s=58)
    assert presence.departure() == Departure(60, ExitReason.USER_LEFT)


def test_who_writes_from_outside_is_waited_for_after_each_word() -> None:
    presence = Presence(RULES, now_s=0)
    presence.note_written(now_s=20)
    assert presence.departure() == Departure(50, ExitReason.NO_USER)
    presence.note_written(now_s=45)
    assert presence.departure() == Departure(75, ExitReason.NO_USER)
    presence.user_joined(1)
    assert presence.departure() is None
    presence.user_left(1, now_s=50)
    assert presence.departure() == Departure(75, ExitReason.NO_USER)
    presence.user_joined(1)
    presence.user_left(1, now_s=90)
    assert presence.departure() == Departure(100, ExitReason.USER_LEFT)

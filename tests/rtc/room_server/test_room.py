"""A room's decisions: who hears what when somebody joins, speaks up or goes."""

from __future__ import annotations

import pytest

from line.participants import Role
from rtc.room_server.resume_secrets import ResumeSecrets
from rtc.room_server.room import PLACES_FOR_AGENTS, Delivery, Member, Room
from rtc.room_server.tokens import UidClaim
from rtc.signaling.protocol import (
    Chat,
    ClientFrame,
    Description,
    Join,
    Leave,
    Mute,
    PeerClosed,
    SignalError,
)


def _room(*uids: int, max_members: int = 32) -> Room:
    room = Room("demo", max_members=max_members)
    for uid in uids:
        room.join(Join(role="agent" if uid == 1 else "user", uid=uid, instance=f"i{uid}"))
    return room


def _heard(deliveries: list[Delivery]) -> list[tuple[int, str]]:
    return [(delivery.uid, delivery.frame.type) for delivery in deliveries]


def _offer(to: int) -> Description:
    return Description(to=to, connection_id="c", sdp_type="offer", sdp="v=0")


def _refusal(room: Room, sender: int, frame: ClientFrame) -> str:
    members = dict(room.members)
    with pytest.raises(SignalError) as caught:
        room.handle(sender, frame, now_ms=0)
    assert room.members == members
    return caught.value.code


def test_a_newcomer_is_announced_to_the_others() -> None:
    outcome = _room(1, 2).join(Join(role="user", uid=3))
    assert _heard(outcome.deliveries) == [(1, "member_joined"), (2, "member_joined")]
    assert not outcome.is_resumed
    assert not outcome.is_replaced


def test_free_uids_are_given_to_those_who_have_none() -> None:
    uids = iter([5, 5, 5, 9])
    room = Room("demo", random_uid=lambda: next(uids))
    first = room.join(Join(role="user")).member
    second = room.join(Join(role="user")).member
    assert (first.uid, second.uid) == (5, 9)
    assert first.instance != second.instance


def _again(member: Member, **changes: object) -> Join:
    """What `member` says to come back."""
    fields = {
        "role": member.role,
        "uid": member.uid,
        "instance": member.instance,
        "resume_secret": member.resume_secret,
    }
    return Join.model_validate(fields | changes)


def _join_refusal(room: Room, wanted: Join, claim: UidClaim) -> str:
    members = dict(room.members)
    with pytest.raises(SignalError) as caught:
        room.join(wanted, claim=claim)
    assert room.members == members
    return caught.value.code


@pytest.mark.parametrize("uid", [1, 2])
@pytest.mark.parametrize("claim", UidClaim)
def test_its_secret_and_instance_resume_a_member_unnoticed(claim: UidClaim, uid: int) -> None:
    room = _room(1, 2)
    outcome = room.join(_again(room.members[uid]), claim=claim)
    assert outcome.is_resumed
    assert outcome.deliveries == []
    assert outcome.member == room.members[uid]


@pytest.mark.parametrize("claim", UidClaim)
def test_its_secret_and_another_instance_replace_a_member_who_comes_last(claim: UidClaim) -> None:
    room = _room(1, 2, 3)
    old = room.members[2]
    outcome = room.join(_again(old, instance="new"), claim=claim)
    assert outcome.is_replaced
    assert _heard(outcome.deliveries) == [
        (1, "member_left"),
        (3, "member_left"),
        (1, "member_joined"),
        (3, "member_joined"),
    ]
    assert list(room.members) == [1, 3, 2]
    assert outcome.member.number != old.number
    # The same owner, whatever became of the answer.
    assert outcome.member.resume_secret == old.resume_secret


WITHOUT_PROOF: list[dict[str, object]] = [
    {"resume_secret": None},
    {"resume_secret": None, "instance": None},
    {"resume_secret": None, "instance": "new"},
    {"resume_secret": "i2"},
    {"resume_secret": "0"},
    {"resume_secret": "another"},
]


@pytest.mark.parametrize("changes", WITHOUT_PROOF)
def test_what_everybody_sees_of_a_member_opens_nothing(changes: dict[str, object]) -> None:
    room = _room(1, 2, 3)
    if changes["resume_secret"] == "another":
        changes = {"resume_secret": room.members[3].resume_secret}
    for uid in (1, 2):
        wanted = _again(room.members[uid], role="user", **changes)
        assert _join_refusal(room, wanted, UidClaim.FREE) == "uid_taken"
        assert _join_refusal(room, wanted, UidClaim.NONE) == "forbidden"


def test_a_user_never_has_an_agents_place() -> None:
    room = _room(1, 2)
    agent = room.members[1]
    for claim, code in ((UidClaim.OWN, "uid_taken"), (UidClaim.NONE, "forbidden")):
        assert _join_refusal(room, _again(agent, role="user"), claim) == code
        assert _join_refusal(room, Join(role="user", uid=1), claim) == code


@pytest.mark.parametrize(("held_by", "role"), [(1, "agent"), (2, "user"), (2, "agent")])
def test_the_owner_of_a_uid_replaces_whoever_has_it_without_a_secret(
    held_by: int, role: Role
) -> None:
    room = _room(1, 2)
    old = room.members[held_by]
    for instance in (None, old.instance, "new"):
        wanted = Join(role=role, uid=held_by, instance=instance)
        outcome = room.join(wanted, claim=UidClaim.OWN)
        assert (outcome.is_replaced, outcome.is_resumed) == (True, False)
        assert outcome.member.role == role
        assert outcome.member.resume_secret != old.resume_secret
        # The others would take the same instance for the same participant.
        assert outcome.member.instance != old.instance
        old = outcome.member


def test_without_a_claim_only_a_place_that_was_ones_own_can_be_named() -> None:
    secrets = ResumeSecrets(["key"])
    old = Room("demo", resume_secrets=secrets).join(Join(role="user"), claim=UidClaim.NONE).member
    again = _again(old)
    for room in (
        Room("demo", resume_secrets=ResumeSecrets(["key"])),
        Room("demo", resume_secrets=ResumeSecrets(["newer", "key"])),
    ):
        assert room.join(again, claim=UidClaim.NONE).member.uid == old.uid
    for channel, key, wanted in (
        ("demo", "other", again),
        ("elsewhere", "key", again),
        ("demo", "key", again.model_copy(update={"uid": old.uid % 1000 + 1})),
        ("demo", "key", again.model_copy(update={"resume_secret": None})),
        ("demo", "key", again.model_copy(update={"role": "agent"})),
    ):
        room = Room(channel, resume_secrets=ResumeSecrets([key]))
        assert _join_refusal(room, wanted, UidClaim.NONE) == "forbidden"


def test_a_one_request_caller_has_no_secret_that_resumes_it() -> None:
    room = _room(1)
    caller = room.join(Join(role="user", uid=7), via=1).member
    assert _join_refusal(room, _again(caller), UidClaim.FREE) == "uid_taken"


def test_a_secret_is_in_no_representation_and_in_nothing_that_others_hear() -> None:
    room = _room(1)
    outcome = room.join(Join(role="user", uid=2))
    secret = outcome.member.resume_secret
    assert len(secret) > 40
    heard = [delivery.frame.model_dump_json() for delivery in outcome.deliveries]
    heard += [info.model_dump_json() for info in room.others(1)]
    assert not [
        text for text in (*heard, repr(outcome), repr(_again(outcome.member))) if secret in text
    ]


def test_a_full_room_takes_only_those_who_replace() -> None:
    room = _room(1, 2, max_members=2)
    with pytest.raises(SignalError) as caught:
        room.join(Join(role="user", uid=3))
    assert caught.value.code == "room_full"
    assert room.join(_again(room.members[2], instance="new")).is_replaced


def test_a_room_full_of_people_has_places_for_agents() -> None:
    room = Room("demo", max_members=2)
    for uid in (1, 2):
        room.join(Join(role="user", uid=uid))
    for uid in range(10, 10 + PLACES_FOR_AGENTS):
        room.join(Join(role="agent", uid=uid))
    for wanted in (Join(role="agent", uid=99), Join(role="user", uid=99)):
        assert _join_refusal(room, wanted, UidClaim.OWN) == "room_full"
    room.leave(10, "left")
    assert _join_refusal(room, Join(role="user", uid=99), UidClaim.OWN) == "room_full"


def test_relays_to_one_and_chats_to_all_others() -> None:
    room = _room(1, 2, 3)
    assert _heard(room.handle(2, _offer(1), now_ms=0)) == [(1, "description")]
    chat = room.handle(2, Chat(text="hi"), now_ms=42)
    assert _heard(chat) == [(1, "chat"), (3, "chat")]
    assert chat[0].frame.model_dump()["sent_at_ms"] == 42
    assert chat[0].frame.model_dump()["message_id"]


def test_a_listener_hears_chats_and_writes_none() -> None:
    room = _room(1, 2)
    room.join(Join(role="listener", uid=3, instance="w3"))
    assert _heard(room.handle(1, Chat(text="hi"), now_ms=0)) == [(2, "chat"), (3, "chat")]
    with pytest.raises(SignalError) as refusal:
        room.handle(3, Chat(text="hi"), now_ms=0)
    assert refusal.value.code == "not_allowed"


def test_mute_is_announced_and_remembered() -> None:
    room = _room(1, 2)
    assert _heard(room.handle(2, Mute(is_muted=True), now_ms=0)) == [(1, "member_updated")]
    assert [info.is_muted for info in room.others(1)] == [True]


def test_leaving_twice_is_leaving_once() -> None:
    room = _room(1, 2)
    assert _heard(room.handle(2, Leave(), now_ms=0)) == [(1, "member_left")]
    assert room.leave(2, "left") == []


def test_refusals_change_nothing() -> None:
    room = _room(1, 2, 3)
    assert _refusal(room, 2, Join(role="user")) == "already_joined"
    assert _refusal(room, 2, _offer(9)) == "unknown_member"
    assert _refusal(room, 2, _offer(2)) == "unknown_member"
    assert _refusal(room, 1, PeerClosed(uid=9)) == "unknown_member"
    assert _refusal(room, 1, PeerClosed(uid=3)) == "not_allowed"


def test_a_one_request_caller_belongs_to_its_agent() -> None:
    room = _room(1, 2)
    caller = room.join(Join(role="user", uid=7), via=1).member
    assert [(info.uid, info.via) for info in room.others(1)] == [(2, None), (7, 1)]
    assert _refusal(room, 2, _offer(7)) == "not_allowed"
    assert _heard(room.handle(1, _offer(7), now_ms=0)) == [(7, "description")]
    assert _refusal(room, 2, PeerClosed(uid=caller.uid)) == "not_allowed"
    assert _heard(room.handle(1, PeerClosed(uid=7), now_ms=0)) == [
        (1, "member_left"),
        (2, "member_left"),
    ]


def test_callers_go_with_their_agent() -> None:
    room = _room(1, 2)
    room.join(Join(role="user", uid=7), via=1)
    deliveries = room.leave(1, "vanished")
    assert [d.frame.model_dump(include={"uid", "reason"}) for d in deliveries] == [
        {"uid": 1, "reason": "vanished"},
        {"uid": 7, "reason": "closed"},
    ]
    assert list(room.members) == [2]


def test_the_oldest_agent_answers_calls() -> None:
    room = _room(2)
    assert room.first_agent() is None
    room.join(Join(role="agent", uid=9))
    room.join(Join(role="agent", uid=1))
    agent = room.first_agent()
    assert agent is not None
    assert agent.uid == 9

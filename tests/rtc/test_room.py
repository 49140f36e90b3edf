"""A room's decisions: who hears what when somebody joins, speaks up or goes."""

from __future__ import annotations

import pytest

from rtc.room import Delivery, Room
from rtc.signals import (
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


def test_the_same_instance_resumes_unnoticed() -> None:
    outcome = _room(1, 2).join(Join(role="user", uid=2, instance="i2"))
    assert outcome.is_resumed
    assert outcome.deliveries == []


def test_another_instance_replaces_and_comes_last() -> None:
    room = _room(1, 2, 3)
    outcome = room.join(Join(role="user", uid=2, instance="new"))
    assert outcome.is_replaced
    assert _heard(outcome.deliveries) == [
        (1, "member_left"),
        (3, "member_left"),
        (1, "member_joined"),
        (3, "member_joined"),
    ]
    assert list(room.members) == [1, 3, 2]


def test_without_an_instance_nobody_resumes() -> None:
    room = Room("demo")
    room.join(Join(role="user", uid=2))
    assert room.join(Join(role="user", uid=2)).is_replaced


def test_a_full_room_takes_only_those_who_replace() -> None:
    room = _room(1, 2, max_members=2)
    with pytest.raises(SignalError) as caught:
        room.join(Join(role="user", uid=3))
    assert caught.value.code == "room_full"
    assert room.join(Join(role="user", uid=2, instance="new")).is_replaced


def test_relays_to_one_and_chats_to_all_others() -> None:
    room = _room(1, 2, 3)
    assert _heard(room.handle(2, _offer(1), now_ms=0)) == [(1, "description")]
    chat = room.handle(2, Chat(text="hi"), now_ms=42)
    assert _heard(chat) == [(1, "chat"), (3, "chat")]
    assert chat[0].frame.model_dump()["sent_at_ms"] == 42
    assert chat[0].frame.model_dump()["message_id"]


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

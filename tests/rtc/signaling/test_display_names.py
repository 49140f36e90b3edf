"""Names of members: what is shown of them, and whose they are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtc.room_server.room import Room
from rtc.signaling.display_names import marked_name, name_key, shown_name
from rtc.signaling.protocol import MAX_NAME_CHARACTERS, Join, MemberInfo, MemberUpdated


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Ada", "Ada"),
        ("  Ada \n Lovelace\t", "Ada Lovelace"),
        ("\u202eyelraP\u202c", "yelraP"),
        ("Par\u200bley", "Par ley"),
        ("a\x00b\x1b[31mc", "a b [31mc"),
        ("👩\u200d💻", "👩\u200d💻"),
        ("\u0645\u06cc\u200c\u062e", "\u0645\u06cc\u200c\u062e"),
        ("\u2066\u2069\ufeff", ""),
    ],
)
def test_what_is_not_seen_is_not_shown(name: str, shown: str) -> None:
    assert shown_name(name) == shown


@given(st.text(max_size=MAX_NAME_CHARACTERS))
def test_any_name_can_be_shown_and_marked(name: str) -> None:
    shown = shown_name(name)
    assert shown == shown_name(shown)
    assert len(shown.splitlines()) <= 1
    assert len(marked_name(shown, 2**32 - 1)) <= MAX_NAME_CHARACTERS


LIKE_AN_AGENT = [
    "Parley",
    " parley ",
    "PARLEY",
    "P.a.r.l.e.y",
    "\uff30arley",
    "Par\u200dley",
    "Parley!",
]


def _names(members: list[MemberInfo]) -> list[str]:
    return [member.name for member in members if member.role == "user"]


@pytest.mark.parametrize("name", LIKE_AN_AGENT)
def test_nobody_is_called_like_an_agent(name: str) -> None:
    room = Room("demo")
    room.join(Join(role="agent", uid=1000, name="Parley"))
    member = room.join(Join(role="user", uid=7, name=name)).member
    assert member.name.endswith(" (7)")
    assert name_key(member.name) != name_key("Parley")


@pytest.mark.parametrize("name", LIKE_AN_AGENT)
def test_neither_is_who_came_before_it(name: str) -> None:
    room = Room("demo")
    room.join(Join(role="user", uid=7, name=name))
    room.join(Join(role="user", uid=8, name="Ada"))
    outcome = room.join(Join(role="agent", uid=1000, name="Parley"))
    told = [(one.uid, one.frame.member.name) for one in outcome.deliveries
            if isinstance(one.frame, MemberUpdated)]  # fmt: skip
    (told_to, shown), *rest = told
    assert (told_to, rest) == (8, [])
    assert shown.endswith(" (7)")
    assert _names(room.others(1000)) == [shown, "Ada"]


def test_agents_and_people_without_names_are_left_alone() -> None:
    room = Room("demo")
    room.join(Join(role="agent", uid=1000, name=""))
    room.join(Join(role="user", uid=7))
    room.join(Join(role="user", uid=8, name="!"))
    room.join(Join(role="agent", uid=1001, name="?"))
    room.join(Join(role="agent", uid=1002, name="?"))
    assert _names(room.others(0)) == ["", "!"]

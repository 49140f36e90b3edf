"""The secret of a place in a room: whose it is, and whose not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from line.participants import Role
from rtc.room_server.resume_secrets import ResumeSecrets
from rtc.signaling.protocol import Join

KEY = "k" * 32


@given(
    st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", fullmatch=True),
    st.sampled_from(["user", "agent"]),
    st.integers(1, 2**32 - 1),
)
def test_it_opens_the_place_that_it_was_made_for(channel: str, role: Role, uid: int) -> None:
    made = ResumeSecrets([KEY]).make(channel, role, uid)
    assert Join(role=role, uid=uid, resume_secret=made).resume_secret == made
    assert ResumeSecrets(["another", KEY]).knows(made, channel, role, uid)
    assert not ResumeSecrets(["another"]).knows(made, channel, role, uid)
    assert not ResumeSecrets().knows(made, channel, role, uid)
    known = ResumeSecrets([KEY])
    assert not known.knows(made, channel, role, uid - 1)
    assert not known.knows(made, channel, "user" if role == "agent" else "agent", uid)
    assert not known.knows(made, channel + "x", role, uid)


@given(st.text(max_size=80))
def test_nothing_else_does(text: str) -> None:
    assert not ResumeSecrets([KEY]).knows(text, "demo", "user", 7)


@pytest.mark.parametrize("at", [0, 5, 17, 40, -1])
def test_one_letter_that_is_wrong_is_wrong(at: int) -> None:
    known = ResumeSecrets([KEY])
    letters = list(known.make("demo", "user", 7))
    letters[at] = "A" if letters[at] != "A" else "B"
    assert not known.knows("".join(letters), "demo", "user", 7)


def test_each_is_another() -> None:
    known = ResumeSecrets()
    made = {known.make("demo", "user", 7) for _ in range(10)}
    assert len(made) == 10
    assert all(known.knows(one, "demo", "user", 7) for one in made)

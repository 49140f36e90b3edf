"""The agent's own voice, come back."""

from __future__ import annotations

import pytest

from conversation.turn_taking.backchannel import words_of
from conversation.turn_taking.echo import is_echo

SPOKEN = (
    "The museum opens at nine in the morning and closes at six. On Tuesday it is open until eight, "
    "and the entrance is free for children"
)


@pytest.mark.parametrize(
    ("heard", "expected"),
    [
        ("and the entrance is free for children", True),
        ("an the entrance is free four children", True),
        ("On Tuesday it is open until eight", True),
        ("free for children", True),
        ("for children", True),
        ("children", True),
        ("on Tuesday", False),  # not what was said just now: somebody asks back
        ("and what about the restaurant", False),
        ("is the entrance free for students and teachers", False),
        ("stop", False),
        ("no free for children", False),
        ("", False),
        ("é", False),
    ],
)
def test_echoes(heard: str, expected: bool) -> None:
    assert is_echo(words_of(heard), SPOKEN) is expected


def test_an_order_is_never_an_echo() -> None:
    assert not is_echo(["stop"], "the bus will stop")


def test_without_a_reply_there_is_no_echo() -> None:
    assert not is_echo(words_of("hello there my friend"), "")

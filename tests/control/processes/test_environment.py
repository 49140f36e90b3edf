from __future__ import annotations

from control.processes.environment import child_environment


def test_children_get_what_they_need_and_nothing_that_may_be_a_secret() -> None:
    needed = {"PATH": "/bin", "LC_ALL": "C", "PYTHONPATH": "/x", "LOG_LEVEL": "DEBUG"}
    secret = {
        "OPENAI_API_KEY": "sk",
        "API_KEYS": "k",
        "ROOM_TOKEN_SECRET": "s",
        "AWS_SECRET_ACCESS_KEY": "a",
        "SOMETHING_NEW": "x",
    }
    assert child_environment(needed | secret) == needed

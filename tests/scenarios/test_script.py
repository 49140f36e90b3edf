"""The place of a conversation in a script."""

from __future__ import annotations

from typing import Any

from scenarios.format import Model
from scenarios.script import find_step

MODEL = Model.model_validate(
    {
        "rules": [{"if_heard": "help", "says": "I am here."}],
        "script": [
            {"says": "One."},
            {"calls": "look", "says": "A moment."},
            {"says": "Two."},
            {"if_heard": "four", "says": "Four."},
            {"says": "Three."},
        ],
    }
)


def _user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def _agent(text: str, *calls: str) -> dict[str, Any]:
    named = [{"id": name, "function": {"name": name, "arguments": "{}"}} for name in calls]
    return {"role": "assistant", "content": text} | ({"tool_calls": named} if calls else {})


TOOL = {"role": "tool", "tool_call_id": "look", "content": "found"}


def _said(*messages: dict[str, Any]) -> str | None:
    found = find_step(MODEL, [{"role": "system", "content": "be kind"}, *messages])
    return None if found is None else found[1].says


def test_steps_follow_what_was_said() -> None:
    greeting, asked = _agent("Good day."), _user("hi")
    assert _said(greeting, asked) == "One."
    assert _said(greeting, asked, _agent("One."), asked) == "A moment."
    called = (greeting, asked, _agent("One."), asked, _agent("A moment.", "look"), TOOL)
    assert _said(*called) == "Two."
    assert _said(*called, _agent("Two."), asked) == "Three."
    assert _said(*called, _agent("Two."), _user("say four")) == "Four."
    assert _said(*called, _agent("Two."), asked, _agent("Four."), asked) == "Three."
    assert _said(*called, _agent("Two."), asked, _agent("Three."), asked) is None


def test_a_request_that_is_repeated_gets_the_same_answer() -> None:
    assert _said(_user("hi")) == _said(_user("hi there")) == "One."


def test_a_reply_counts_from_its_first_heard_word_on() -> None:
    long = Model.model_validate({"script": [{"says": "One two three."}, {"says": "Next."}]})
    cut = find_step(long, [_user("hi"), _agent("One two —"), _user("stop")])
    assert cut is not None
    assert cut[1].says == "Next."
    unheard = find_step(long, [_user("hi stop")])
    assert unheard is not None
    assert unheard[1].says == "One two three."


def test_replies_in_a_row_and_words_that_others_put_in_are_told_apart() -> None:
    assert _said(_user("hi"), _agent("One. A moment.", "look"), TOOL) == "Two."
    assert _said(_user("hi"), _agent("One."), _agent("The line is recorded."), _user("ok")) == (
        "A moment."
    )


def test_rules_come_first_at_any_time() -> None:
    assert _said(_user("help me")) == "I am here."
    assert _said(_user("hi"), _agent("I am here."), _user("go on")) == "One."

"""The state that an owner keeps with a conversation: what cannot be stored is refused at once."""

from __future__ import annotations

import datetime
import json
from typing import Any

import pytest

from conversation.snapshot import MAX_STATE_CHARACTERS
from parley import CallError
from session.call_state import CallState


def made(text: str = "{}") -> tuple[CallState, list[None]]:
    changes: list[None] = []
    return CallState(text, lambda: changes.append(None)), changes


def test_it_is_a_dict_whose_changes_are_noted() -> None:
    state, changes = made('{"a": 1}')
    state["b"] = [1, {"c": None}]
    state.update(d=2.5)
    state |= {"e": True}
    assert state.setdefault("f", "x") == "x"
    assert state.setdefault("f", "y") == "x"
    assert state.pop("a") == 1
    assert state.pop("a", None) is None
    del state["b"]
    assert state.popitem() == ("f", "x")
    assert dict(state) == {"d": 2.5, "e": True}
    assert len(changes) == 7
    state.clear()
    assert state.dumped() == "{}"


@pytest.mark.parametrize("value", [datetime.date(2026, 1, 1), {1, 2}, float("nan"), object(), b"x"])
def test_a_value_that_json_has_not_is_refused_and_named(value: Any) -> None:
    state, changes = made()
    with pytest.raises(CallError, match=r"call\.state: 'when'"):
        state["when"] = value
    with pytest.raises(CallError):
        state.update(good=1, when=value)
    assert state == {}
    assert not changes


def test_too_much_is_refused_and_nothing_is_lost() -> None:
    state, _ = made()
    state["a"] = "kept"
    with pytest.raises(CallError, match=f"at most {MAX_STATE_CHARACTERS}"):
        state["b"] = "x" * MAX_STATE_CHARACTERS
    assert state == {"a": "kept"}


def test_keys_are_texts() -> None:
    state, _ = made()
    with pytest.raises(CallError, match="17 is no text"):
        state[17] = 1  # type: ignore[index]


def test_a_change_inside_a_value_is_found_when_it_is_written() -> None:
    state, _ = made('{"cart": []}')
    state["cart"].append("tea")
    assert json.loads(state.dumped()) == {"cart": ["tea"]}
    state["cart"].append(object())
    with pytest.raises(CallError, match="'cart'"):
        state.dumped()


@pytest.mark.parametrize("text", ["", "[1]", "{", "null"])
def test_a_text_that_is_no_object_is_an_empty_state(text: str) -> None:
    assert made(text)[0] == {}

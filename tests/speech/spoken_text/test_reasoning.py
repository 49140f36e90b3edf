"""The reasoning of models taken out of their answers."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speech.spoken_text.reasoning import ReasoningFilter

PIECES = st.sampled_from(
    ["<think>", "</think>", "[THINK]", "[/THINK]", "<thinking>", "</thinking>", "<", "[", "</", "`", "a", " b\n", "◁think▷", "◁/think▷"]
)  # fmt: skip


def _visible(*deltas: str) -> str:
    reasoning = ReasoningFilter()
    return "".join([*map(reasoning.push, deltas), reasoning.flush()])


@pytest.mark.parametrize(
    ("text", "visible"),
    [
        ("<think>One.\nTwo.</think>Three.", "Three."),
        ("A<think>b</think>C<thinking>d</thinking>E", "ACE"),
        ("[THINK]a[/THINK]b", "b"),
        ("◁think▷a◁/think▷b", "b"),
        ("<|channel|>analysis<|message|>a<|end|><|channel|>final<|message|>b", "b"),
        ("<think>a<think>b</think>c", "c"),
        ("<think>a", ""),
        ("<think>a</thi", ""),
        ("a</think>b", "ab"),
        ("Write `<think>` first.", "Write `<think>` first."),
        ("a < b and c <thing> [1] <", "a < b and c <thing> [1] <"),
        ("<thi", "<thi"),
        ("", ""),
    ],
)
def test_only_the_answer_is_visible(text: str, visible: str) -> None:
    assert _visible(text) == visible
    assert _visible(*text) == visible


@given(st.lists(PIECES, max_size=20).map("".join), st.data())
def test_pieces_of_a_stream_change_nothing(text: str, data: st.DataObject) -> None:
    bounds = data.draw(st.lists(st.integers(0, len(text)), max_size=10).map(sorted))
    pieces = [text[start:end] for start, end in pairwise([0, *bounds, len(text)])]
    assert _visible(*pieces) == _visible(text)


def test_no_more_than_the_beginning_of_a_tag_is_held_back() -> None:
    reasoning = ReasoningFilter()
    assert reasoning.push("Hello <thin") == "Hello "
    assert reasoning.push("g> you") == "<thing> you"
    assert not reasoning.is_inside
    reasoning.push("<think>")
    assert reasoning.is_inside

"""Reasoning that a prompt template began: known after one reply, forgotten when a reply has none."""

from __future__ import annotations

import pytest

from speech.language_model.opened_reasoning import OpenedReasoning


def _read(text: str, *, is_expected: bool, is_cut: bool = False) -> tuple[str, bool]:
    """What passes of a reply that comes in one piece, and is the same letter by letter; what is known then."""
    found = []
    for pieces in ([text], list(text)):
        reasoning = OpenedReasoning(is_expected=is_expected)
        passed = "".join(map(reasoning.push, pieces)) + reasoning.flush(is_cut=is_cut)
        found.append((passed, reasoning.is_opened))
    assert found[0] == found[1]
    return found[0]


@pytest.mark.parametrize(
    ("text", "is_opened"),
    [
        ("Hm.</think>Good day.", True),
        ("嗯◁/think▷你好", True),
        ("<think>Hm.</think>Good day.", False),
        ("Close it with `</think>`.", False),
        ("Good day.", False),
        ("1 < 2 and </thin", False),
        ("", False),
    ],
)
def test_the_first_reply_passes_and_tells_of_the_next(text: str, is_opened: bool) -> None:
    assert _read(text, is_expected=False) == (text, is_opened)


@pytest.mark.parametrize(
    ("text", "passed", "is_opened"),
    [
        ("Hm.\nHm.</think>\n\nGood day.", "\n\nGood day.", True),
        ("Hm.</think>Write </think> here.", "Write </think> here.", True),
        ("</think>Good day.", "Good day.", True),
        ("Close it with `</think>`. Hm.</think>Yes.", "Yes.", True),
        # The server's settings have changed.
        ("<think>Hm.</think>Good day.", "<think>Hm.</think>Good day.", False),
        ("Good day.", "Good day.", False),
    ],
)
def test_of_later_replies_the_answer_passes(text: str, passed: str, is_opened: bool) -> None:
    assert _read(text, is_expected=True) == (passed, is_opened)


def test_reasoning_that_the_token_limit_cuts_is_no_answer() -> None:
    assert _read("Hm, hm, ", is_expected=True, is_cut=True) == ("", True)


def test_nothing_of_the_reasoning_passes_early_and_the_answer_does_not_wait() -> None:
    reasoning = OpenedReasoning(is_expected=True)
    assert [reasoning.push(piece) for piece in ("Hm. ", "Hm.</th", "ink>Go", "od day.")] == [
        *("", "", "Go", "od day.")
    ]

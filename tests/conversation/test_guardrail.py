"""Rules over the growing words of a reply."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conversation.guardrail import Guardrail, GuardrailRule, parse_guardrails

SECRET = GuardrailRule(name="secret", pattern=r"project\s+x\b")


def test_a_rule_is_told_once_where_the_words_break_it() -> None:
    guardrail = Guardrail([SECRET])
    pieces = ["We call it Pro", "ject", " X", ".", " Project X!"]
    told = [guardrail.append("i", piece) for piece in pieces]
    assert told == [None, None, SECRET, None, None]
    assert guardrail.finish("i", "We call it Project X. Project X!") is None
    assert guardrail.finish("j", "It is project x") is SECRET


@given(st.lists(st.integers(1, 60), max_size=8))
def test_no_cut_of_the_pieces_hides_the_words(cuts: list[int]) -> None:
    text = "Well, since you are asking, this was project x all the time."
    at = sorted({0, *(cut for cut in cuts if cut < len(text)), len(text)})
    guardrail = Guardrail([SECRET])
    told = [guardrail.append("i", text[a:b]) for a, b in itertools.pairwise(at)]
    assert [rule for rule in told if rule is not None] == [SECRET]


def test_long_replies_are_looked_at_to_their_end() -> None:
    guardrail = Guardrail([SECRET])
    assert all(guardrail.append("i", "nothing of interest ") is None for _ in range(500))
    assert guardrail.append("i", "but project x") is SECRET


@pytest.mark.parametrize(
    ("text", "is_broken"),
    [
        ("it is 4111 1111 1111 1111", True),
        ("it is 5500-0000-0000-0004.", True),
        ("it is 4111 1111 1111 1112", False),
        ("call 0049 30 123456", False),
        ("in 2026", False),
    ],
)
def test_card_numbers(text: str, is_broken: bool) -> None:
    (rule,) = parse_guardrails("card_numbers")
    assert rule.is_broken_by(text) is is_broken


def test_rules_are_parsed_from_one_line() -> None:
    rules = parse_guardrails("card_numbers; secret = project\\s+x ;\n")
    assert [(rule.name, rule.pattern) for rule in rules] == [
        ("card_numbers", None),
        ("secret", "project\\s+x"),
    ]


@pytest.mark.parametrize("text", ["unknown", "A=x", "a=", "a=(", "=x"])
def test_wrong_rules_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"name|regular|at least"):
        parse_guardrails(text)

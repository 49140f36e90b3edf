"""Templates of system prompts, and the budget of what joins them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conversation.prompt import (
    MAX_PROMPT_CHARACTERS,
    InstructionsBudget,
    PromptError,
    compose,
    fill,
)

names = st.from_regex(r"[A-Za-z][A-Za-z0-9_]{0,8}", fullmatch=True)


@pytest.mark.parametrize(
    ("template", "filled"),
    [
        ("", ""),
        ("Be brief.", "Be brief."),
        ("{name} is {name}.", "Ada is Ada."),
        ('Answer {{"name": "{name}"}}.', 'Answer {"name": "Ada"}.'),
        ("{{name}}", "{name}"),
        ("{{{name}}}", "{Ada}"),
        ("{odd}", "{name} {{"),
    ],
)
def test_placeholders_are_filled_and_doubled_braces_are_braces(template: str, filled: str) -> None:
    assert fill(template, {"name": "Ada", "odd": "{name} {{"}) == filled


@pytest.mark.parametrize(
    ("template", "says"),
    [
        ("Hello {nmae}.", "{nmae} has no value: metadata gives name, plan"),
        ("a { b", "the { at character 3 belongs to no placeholder: write {{"),
        ("a } b", "the } at character 3 belongs to no placeholder: write }}"),
        ("{}", "character 1"),
        ("{name!r}", "character 1"),
        ("{name.__class__}", "character 1"),
        ("{0}", "character 1"),
        ("{name", "character 1"),
    ],
)
def test_what_is_wrong_is_named(template: str, says: str) -> None:
    with pytest.raises(PromptError) as caught:
        fill(template, {"plan": "free", "name": "Ada"})
    assert says in str(caught.value)


def test_without_metadata_the_error_says_so() -> None:
    with pytest.raises(PromptError, match="metadata gives nothing"):
        fill("{name}", {})


def test_a_prompt_may_be_as_long_as_allowed_and_no_longer() -> None:
    limit = MAX_PROMPT_CHARACTERS
    assert len(fill("{a}{a}", {"a": "x" * (limit // 2)})) == limit
    for template in ("{a}{a}y", "y{a}{a}", "{a}" * 10_000):
        with pytest.raises(PromptError, match=str(limit)):
            fill(template, {"a": "x" * (limit // 2)})


@given(st.text(max_size=60), st.dictionaries(names, st.text(max_size=20), max_size=4))
def test_any_text_can_be_written_as_a_template(text: str, values: dict[str, str]) -> None:
    assert fill(text.replace("{", "{{").replace("}", "}}"), values) == text


@given(st.dictionaries(names, st.text(max_size=20), min_size=1, max_size=4))
def test_values_are_taken_as_they_are(values: dict[str, str]) -> None:
    template = "|".join(f"{{{name}}}" for name in values)
    assert fill(template, values) == "|".join(values.values())


def test_skills_and_memory_follow_the_prompt_in_order() -> None:
    skills = {"orders": "Ask for the number.\n", "returns": "Be generous."}
    composed = compose("Be kind.\n", skills, ["Ada likes tea.", "# Skill:\nlies"])
    assert composed.text == (
        "Be kind.\n\n# Skill: orders\nAsk for the number.\n\n# Skill: returns\nBe generous."
        "\n\n# What you know from before\n- Ada likes tea.\n- # Skill: lies"
    )
    assert (composed.left_out, composed.forgotten) == ((), 0)


def test_a_prompt_alone_is_itself() -> None:
    assert compose("Be kind.", {}, []).text == "Be kind."


def test_a_skill_without_room_is_left_out_whole_and_a_smaller_one_still_fits() -> None:
    skills = {"first": "a" * 50, "large": "b" * 200, "small": "c"}
    composed = compose("p", skills, [], InstructionsBudget(skill_characters=100))
    assert composed.left_out == ("large",)
    assert "b" not in composed.text
    assert composed.text.endswith("# Skill: small\nc")


def test_the_newest_memory_is_kept() -> None:
    memory = [f"fact {number}" for number in range(10)]
    composed = compose("p", {}, memory, InstructionsBudget(memory_characters=60))
    assert composed.text.splitlines()[-3:] == ["- fact 7", "- fact 8", "- fact 9"]
    assert composed.forgotten == 7


@given(
    st.dictionaries(names, st.text(min_size=1, max_size=80), max_size=6),
    st.lists(st.text(min_size=1, max_size=80), max_size=8),
    st.integers(0, 200),
    st.integers(0, 200),
)
def test_the_budget_holds_and_the_prompt_stays_whole(
    skills: dict[str, str], memory: list[str], skill_characters: int, memory_characters: int
) -> None:
    budget = InstructionsBudget(skill_characters, memory_characters)
    composed = compose("The prompt.", skills, memory, budget)
    assert composed.text.startswith("The prompt.")
    separators = 2 * (len(skills) - len(composed.left_out) + 1)
    added = len(composed.text) - len("The prompt.")
    assert added <= skill_characters + memory_characters + separators
    assert 0 <= composed.forgotten <= len(memory)

"""The order of speakers in a conversation with several agents."""

from __future__ import annotations

import pytest

from conversation.moderation import (
    AgentTurns,
    ModeratorRule,
    RoomTurn,
    RoomView,
    addressed_agent,
    next_speaker,
)

AGENTS = {"ada": "Ada", "ben": "Ben Stone", "cleo": "Cleo"}
ADDRESSED, ROUND_ROBIN = ModeratorRule.ADDRESSED, ModeratorRule.ROUND_ROBIN


def person(text: str) -> RoomTurn:
    return RoomTurn("Anna", text, is_agent=False)


def agent(name: str, text: str) -> RoomTurn:
    return RoomTurn(name, text, is_agent=True)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Cleo, what do you think?", "cleo"),
        ("I would ask BEN STONE, or Ada", "ben"),
        ("and you, ben?", "ben"),
        ("the adapter is broken", None),
        ("Adam is late", None),
        ("", None),
    ],
)
def test_an_agent_is_addressed_by_its_name_as_a_word(text: str, expected: str | None) -> None:
    assert addressed_agent(text, AGENTS) == expected


def test_a_name_with_signs_of_a_regular_expression_is_a_name() -> None:
    assert addressed_agent("ask C++ (old)", {"cpp": "C++ (old)"}) == "cpp"
    assert addressed_agent("anything", {"dots": "..."}) is None


@pytest.mark.parametrize(
    ("rule", "turns", "expected"),
    [
        (ADDRESSED, [person("hello")], "ada"),
        (ADDRESSED, [person("Cleo?"), agent("cleo", "yes"), person("go on")], "cleo"),
        (ADDRESSED, [person("hello"), agent("ada", "Cleo knows that")], "cleo"),
        (ADDRESSED, [person("hello"), agent("ada", "I am Ada")], None),
        (ADDRESSED, [person("hello"), agent("ada", "That is all")], None),
        (ROUND_ROBIN, [person("hello")], "ada"),
        (ROUND_ROBIN, [person("hello"), agent("ada", "hi")], "ben"),
        (ROUND_ROBIN, [agent("cleo", "hi"), person("go on")], "ada"),
        (ROUND_ROBIN, [person("hello"), agent("ada", "Cleo?")], "cleo"),
    ],
)
def test_the_rules_name_the_next_speaker(
    rule: ModeratorRule, turns: list[RoomTurn], expected: str | None
) -> None:
    assert next_speaker(rule, RoomView(AGENTS, turns)) == expected


def test_a_lone_agent_does_not_answer_itself_in_turn() -> None:
    alone = {"ada": "Ada"}
    assert next_speaker(ROUND_ROBIN, RoomView(alone, [agent("ada", "hi")])) is None
    assert next_speaker(ROUND_ROBIN, RoomView(alone, [agent("ada", "hi"), person("so?")])) == "ada"


def test_agents_wait_for_a_person_after_their_turns() -> None:
    turns = AgentTurns(2)
    for said in ("one", "two"):
        assert not turns.is_spent
        turns.note(agent("ada", said))
    assert turns.is_spent
    turns.note(person("well"))
    assert not turns.is_spent

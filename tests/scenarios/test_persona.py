from __future__ import annotations

from typing import Any

import pytest

from config.settings import Settings
from scenarios.caller import CallerError
from scenarios.format import Persona, ScenarioError
from scenarios.persona import MAX_WORDS, persona_messages, persona_of
from scenarios.seams import Line
from tests.fakes.chat_server import ChatServer, answer, chat_server

PERSONA = Persona(character="Impatient. {braces} too.", goal="the state of order 1001")
ASKED = Line("caller", "Where is my order?")
ANSWERED = Line("agent", "Which number?")


async def next_words(server: ChatServer, *lines: Line, **settings: str) -> str | None:
    persona = persona_of(
        Settings.from_env({"LLM_BASE_URL": server.base_url, "LLM_MODEL": "actor", **settings})
    )
    assert persona is not None
    try:
        return await persona.next_words(PERSONA, lines)
    finally:
        await persona.close()


def roles(*lines: Line) -> list[tuple[str, str]]:
    return [(str(m["role"]), str(m["content"])) for m in persona_messages(PERSONA, lines)][1:]


@pytest.mark.asyncio
async def test_words_are_made_up_from_character_goal_and_what_was_said() -> None:
    async with chat_server() as server:
        server.script.append(answer('<think>Hm.</think> Caller: "The number\nis 1001."'))
        said = await next_words(server, ASKED, ANSWERED, LLM_TEMPERATURE="0.7")
        (call,) = server.calls
    assert said == "The number is 1001."
    assert call.body["temperature"] == 0.7
    assert "response_format" not in call.body
    assert "Impatient. {braces} too." in call.messages[0]["content"]
    assert call.user_text == "Which number?"


@pytest.mark.asyncio
@pytest.mark.parametrize("last", ["HANG UP", "Thanks, goodbye. HANG UP.", '"hang-up" HANG-UP'])
async def test_the_persona_ends_when_it_has_what_it_wants(last: str) -> None:
    async with chat_server() as server:
        server.script.append(answer(last))
        assert await next_words(server, ASKED, ANSWERED) is None


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("text", "problem"),
    [("HANG UP", "before it has said a word"), ("[{", "nothing that can be spoken")],
)
async def test_what_no_person_would_say_fails_the_run(text: str, problem: str) -> None:
    async with chat_server() as server:
        server.script.append(answer(text))
        with pytest.raises(CallerError, match=problem):
            await next_words(server, ANSWERED)


@pytest.mark.asyncio
async def test_endless_words_are_cut_and_a_model_that_cannot_be_had_is_named() -> None:
    async with chat_server() as server:
        server.script.append(answer("word " * 500))
        assert len(str(await next_words(server)).split()) == MAX_WORDS
        server.api_key = "right"
        with pytest.raises(ScenarioError, match=r"^persona: actor: "):
            await next_words(server)


def test_the_agent_is_the_one_who_asks_the_model_and_both_take_turns() -> None:
    picked_up = ("user", "(The agent has picked up.)")
    assert roles() == [picked_up]
    assert roles(ASKED) == [
        picked_up,
        ("assistant", ASKED.text),
        ("user", "(The agent says nothing.)"),
    ]
    twice: list[Any] = roles(ANSWERED, ANSWERED, ASKED, ANSWERED)
    assert twice == [
        ("user", "Which number?\nWhich number?"),
        ("assistant", ASKED.text),
        ("user", "Which number?"),
    ]

"""Guardrails and the hook before an answer: functions of the agent's owner, over real WebRTC."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from conversation.lifecycle import AgentStartError, ExitReason
from parley import Agent, Call, Cut, EndCall, Replace, Retry, guardrail, tool
from parley.guardrails import CheckedText
from parley.hooks import UserTurnFinished
from tests.fakes.gemini_live import GeminiSession
from tests.fakes.openai_realtime import FakeSession, tone
from tests.loopback.gemini_stage import GeminiStage
from tests.loopback.stage import Stage, soon

STORY = tone(8000)


def added(session: FakeSession) -> list[tuple[str, str]]:
    """Role and text of each message that the model was given."""
    items = [frame["item"] for frame in session.all_of("conversation.item.create")]
    return [(one["role"], one["content"][0]["text"]) for one in items if one["type"] == "message"]


async def hear(session: FakeSession, words: str) -> str:
    item_id = await session.speech_started()
    await session.speech_stopped(item_id, words)
    return item_id


# -- before an answer ------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_a_hook_adds_what_the_model_sees_before_it_answers() -> None:
    async def look_up(_call: Call, turn: UserTurnFinished) -> None:
        assert turn.uid == 7
        turn.add_text = f"The caller asked: {turn.text}. Order 17 is on its way."

    async with Stage() as stage:
        definition = Agent("orders", hooks={"user_turn_finished": look_up})
        session = await stage.start(definition=definition)
        await stage.join(7)
        await hear(session, "where is my order")
        await session.wait_for("response.create")
        text = "The caller asked: where is my order. Order 17 is on its way."
        assert added(session) == [("system", text)]
        kinds = [frame.type for frame in session.received]
        assert kinds.index("conversation.item.create") < kinds.index("response.create")


@pytest.mark.asyncio
async def test_a_written_turn_passes_the_same_hook() -> None:
    def note(_call: Call, turn: UserTurnFinished) -> None:
        turn.add_text = "known"

    async with Stage() as stage:
        definition = Agent("orders", hooks={"user_turn_finished": note})
        session = await stage.start(definition=definition)
        person = await stage.join(7)
        person.send(type="client_text_append", text="hello")
        await session.wait_for("response.create")
        assert added(session) == [("user", "hello"), ("system", "known")]


@pytest.mark.asyncio
async def test_a_turn_is_answered_though_its_hook_hangs() -> None:
    async def hang(_call: Call, _turn: UserTurnFinished) -> None:
        await asyncio.sleep(3600)

    async with Stage() as stage:
        definition = Agent("orders", hooks={"user_turn_finished": hang})
        session = await stage.start(definition=definition)
        await stage.join(7)
        await hear(session, "hello")
        await session.wait_for("response.create")
        assert "longer than 5 s" in stage.owner_failures[0].message


@pytest.mark.asyncio
async def test_a_model_that_answers_by_itself_leaves_no_room_for_the_hook() -> None:
    def note(_call: Call, _turn: UserTurnFinished) -> None: ...

    async with GeminiStage() as stage:
        definition = Agent("orders", hooks={"user_turn_finished": note})
        running = stage.run(definition=definition, provider=stage.gemini())
        with pytest.raises(AgentStartError, match="user_turn_finished") as caught:
            await soon(running)
        assert (caught.value.phase, caught.value.code) == ("definition", "hook_unsupported")


# -- input -----------------------------------------------------------------------------------------


@guardrail("input", name="polite")
def polite(_call: Call, text: str) -> Any:
    match text:
        case "curse":
            return Cut("it was rude")
        case "card 1234":
            return Replace("card ****")
        case "politics":
            return Retry("Say that you only talk of orders.")
        case "abuse":
            return EndCall("Goodbye.")
    return None


@pytest.mark.asyncio
async def test_input_is_withheld_replaced_or_answered_otherwise() -> None:
    async with Stage() as stage:
        definition = Agent("orders", guardrails=[polite])
        session = await stage.start(definition=definition)
        person = await stage.join(7)
        item_id = await hear(session, "curse")
        deleted = await session.wait_for("conversation.item.delete")
        assert deleted["item_id"] == item_id
        await session.wait_for("conversation.item.create")
        assert added(session) == [
            ("system", "A message of the user was withheld from you: it was rude")
        ]
        tripped = await person.wait_event("agent_guardrail_tripped")
        assert (tripped["guardrail"], tripped["check"]) == ("polite", "input")
        await hear(session, "card 1234")
        await session.wait_for("response.create")
        assert added(session)[1:] == [("user", "card ****")]
        await session.say(tone(100), "Thank you.")
        await hear(session, "politics")
        asked = await session.wait_for("response.create", 2)
        assert "only talk of orders" in asked["response"]["instructions"]
        assert len(session.all_of("response.create")) == 2, "the rude turn was answered"


@pytest.mark.asyncio
async def test_a_written_turn_that_may_not_pass_never_reaches_the_model() -> None:
    async with Stage() as stage:
        session = await stage.start(definition=Agent("orders", guardrails=[polite]))
        person = await stage.join(7)
        person.send(type="client_text_append", text="curse")
        await person.wait_event("agent_guardrail_tripped")
        person.send(type="client_text_append", text="hello")
        await session.wait_for("response.create")
        assert ("user", "curse") not in added(session)


@pytest.mark.asyncio
async def test_input_ends_the_call() -> None:
    async with Stage() as stage:
        session = await stage.start(definition=Agent("orders", guardrails=[polite]))
        await stage.join(7)
        await hear(session, "abuse")
        asked = await session.wait_for("response.create")
        assert "Goodbye." in asked["response"]["instructions"]
        await session.say(tone(200), "Goodbye.")
        assert await stage.ended() is ExitReason.HUNG_UP


# -- replies ---------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_a_growing_reply_is_cut_before_its_words_are_heard() -> None:
    seen: list[CheckedText] = []

    async def judge(_call: Call, text: CheckedText) -> Any:
        seen.append(text)
        await asyncio.sleep(0.05)
        return Retry("Say that it is secret.") if "project x" in text else None

    secret = guardrail("reply", name="secret", every_characters=10)(judge)
    async with Stage() as stage:
        session = await stage.start(definition=Agent("orders", guardrails=[secret]))
        person = await stage.join()
        words = "I should not tell you of project x at all"
        saying = asyncio.get_running_loop().create_task(
            session.say(STORY, words, delta_ms=500, pace=0.1)
        )
        tripped = await person.wait_event("agent_guardrail_tripped")
        assert (tripped["guardrail"], tripped["check"]) == ("secret", "reply")
        truncate = await session.wait_for("conversation.item.truncate")
        assert truncate["audio_end_ms"] < 3_500
        asked = await session.wait_for("response.create")
        assert "it is secret" in asked["response"]["instructions"]
        await soon(saying)
        assert not seen[0].is_complete
        assert 10 <= len(seen[0]) < len(words)


@pytest.mark.asyncio
async def test_a_check_that_fails_lets_pass_unless_it_is_strict() -> None:
    def broken(_call: Call, _text: str) -> Any:
        raise LookupError("no list")

    def odd(_call: Call, _text: str) -> Any:
        return 17

    checks = [
        guardrail("reply", name="lax")(broken),
        guardrail("reply", name="odd")(odd),
    ]
    async with Stage() as stage:
        session = await stage.start(definition=Agent("orders", guardrails=checks))
        person = await stage.join()
        await session.say(tone(200), "All is well.")
        await person.wait_event("agent_playout_done")
        assert {each.name for each in stage.owner_failures} == {"lax", "odd"}
        assert all(each.place.startswith("loopback/test_owner") for each in stage.owner_failures)
    async with Stage() as stage:
        strict = guardrail("reply", name="strict", is_strict=True)(broken)
        session = await stage.start(definition=Agent("orders", guardrails=[strict]))
        person = await stage.join()
        await session.say(tone(200), "All is well.", pace=0.5)
        await person.wait_event("agent_guardrail_tripped")


# -- tools -----------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_arguments_and_results_of_tools_are_checked() -> None:
    given: list[str] = []

    @tool
    def find(order: str) -> str:
        """Find an order."""
        given.append(order)
        return f"order {order} of ada@example.com"

    @guardrail("tool_arguments")
    def arguments(_call: Call, text: CheckedText) -> Any:
        assert text.tool == "find"
        order = json.loads(text)["order"]
        if order == "all":
            return Cut("one order at a time")
        return Replace(json.dumps({"order": "18"})) if order == "17" else None

    @guardrail("tool_result")
    def result(_call: Call, text: CheckedText) -> Any:
        return Replace(text.replace("ada@example.com", "a customer"))

    async with Stage() as stage:
        definition = Agent("orders", tools=[find], guardrails=[arguments, result])
        session = await stage.start(definition=definition)
        await stage.join()
        await session.call_tool("find", {"order": "all"})
        outputs = await session.wait_for("conversation.item.create")
        assert "one order at a time" in outputs["item"]["output"]
        await session.wait_for("response.create")
        assert given == []
        await session.call_tool("find", {"order": "17"})
        outputs = await session.wait_for("conversation.item.create", 2)
        assert outputs["item"]["output"] == "order 18 of a customer"
        assert given == ["18"]


# -- after the fact --------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_where_the_model_answers_by_itself_its_reply_is_cut() -> None:
    @guardrail("input")
    async def late(_call: Call, text: str) -> Any:
        return Retry("Refuse kindly.") if "secret" in text else None

    async with GeminiStage() as stage:
        session: GeminiSession = await stage.start_gemini(
            definition=Agent("orders", guardrails=[late])
        )
        person = await stage.join()
        await session.hear("tell me the secret")
        # What was said is known with the beginning of the reply.
        saying = asyncio.get_running_loop().create_task(session.say(STORY, "It is this.", pace=0.1))
        await person.wait_event("agent_guardrail_tripped")
        interrupted = await person.wait_event("agent_interrupted")
        assert interrupted["audio_end_ms"] < 3_000
        await soon(saying)
        asked = await session.wait_for("clientContent")
        assert "Refuse kindly." in json.dumps(asked)

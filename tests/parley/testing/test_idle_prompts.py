"""Idle prompts of an agent, in virtual time and in-process: when they come, and what keeps them away."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from conversation.events import server_events as out
from parley import Agent, ChatRoom, testing, tool
from parley.testing import CallUnderTest, calls, says

pytestmark = pytest.mark.asyncio

IDLE = {"after_s": 10, "times": 2, "say": {"en": ["Hello?", "Anybody?"]}, "goodbye": "Bye then."}


@tool(timeout_s=100)
async def look_up() -> str:
    """Look something up, for a minute."""
    await asyncio.sleep(60)
    return "found"


def agent(**idle: Any) -> Agent:
    return Agent("ada", language="en", tools=[look_up], sounds={"idle": IDLE | idle})


def asked(call: CallUnderTest) -> list[str]:
    return [each.instructions or "" for each in call.model.all_sent("reply")]


async def until_over(call: CallUnderTest) -> None:
    await call.until(lambda: call.is_over)


async def test_a_silent_person_is_asked_twice_and_then_left_with_a_goodbye() -> None:
    async with testing.call(agent()) as call:
        await until_over(call)
        assert call.reason == "idle"
        assert asked(call) == [
            f"Say exactly: {each}" for each in ("Hello?", "Anybody?", "Bye then.")
        ]
        assert call.heard == ["Hello?", "Anybody?", "Bye then."]
        near = call.all_events(out.AgentLimitNear)
        assert [(each.reason, each.ends_in_ms) for each in near] == [("idle", 10_000)]


async def test_instructions_and_the_goodbye_of_the_agent_serve_as_well() -> None:
    idle = {"after_s": 5, "times": 1, "instructions": "Ask for the next line of the poem."}
    poet = Agent("poet", goodbye="Farewell.", sounds={"idle": idle})
    async with testing.call(poet, [says("And then?")]) as call:
        await until_over(call)
        assert asked(call) == [idle["instructions"], "Say exactly: Farewell."]


async def test_our_own_phrases_are_in_the_language_of_the_call() -> None:
    anna = Agent("anna", language="de-AT", sounds={"idle": {"times": 1}})
    async with testing.call(anna) as call:
        await until_over(call)
        question, goodbye = asked(call)
        assert question == "Say exactly: Sind Sie noch da?"
        assert goodbye.startswith("Say exactly: Ich höre Sie nicht mehr")


@pytest.mark.parametrize("sign", ["speech", "text", "join"])
async def test_any_sign_of_a_person_begins_anew(sign: str) -> None:
    script = [] if sign == "join" else [says("Good.")]
    async with testing.call(agent(), script) as call:
        await call.until(lambda: "Hello?" in call.heard)
        if sign == "speech":
            await call.says("I am here.")
        elif sign == "text":
            await call.writes("I am here.")
        else:
            await call.joins("Ben")
        await until_over(call)
        assert call.reason == "idle"
        assert call.heard.count("Hello?") == 2


async def test_silence_counts_from_the_end_of_the_agents_voice() -> None:
    script = [says("A long story.", ms=20_000)]
    async with testing.call(agent(), script) as call:
        began_s = asyncio.get_running_loop().time()
        await call.says("Tell me a story.", wait=False)
        await call.until(lambda: len(asked(call)) >= 2 or call.is_over)
        waited_s = asyncio.get_running_loop().time() - began_s
        assert 29 < waited_s < 35
        await until_over(call)


async def test_no_one_is_asked_while_a_tool_runs_or_a_person_speaks() -> None:
    script = [calls("look_up"), says("Found."), says("Yes.")]
    async with testing.call(agent(), script) as call:
        await call.says("Look it up.", wait=False)
        await call.passes(55)
        assert len(asked(call)) == 1
        await call.until(lambda: "Found." in call.heard)
        item_id = await call.starts_speaking()
        await call.passes(40)
        assert len(asked(call)) == 2
        await call.stops_speaking(item_id, "And one more thing.")
        await until_over(call)
        assert call.heard[1:] == ["Yes.", "Hello?", "Anybody?", "Bye then."]


async def test_without_anybody_there_no_one_is_asked() -> None:
    async with testing.call(agent(), has_user=False, start={"user_wait_s": 100}) as call:
        await call.passes(90)
        assert asked(call) == []


async def test_the_providers_own_prompts_keep_ours_away() -> None:
    vad = {"type": "server_vad", "idle_timeout_ms": 6_000}
    both = Agent("ada", turn_detection=vad, sounds={"idle": IDLE})
    async with testing.call(both) as call:
        await call.passes(100)
        assert asked(call) == []


async def test_push_to_talk_is_asked_too() -> None:
    pushed = Agent("ada", turn_detection={"type": "none"}, sounds={"idle": IDLE | {"times": 1}})
    async with testing.call(pushed) as call:
        await until_over(call)
        assert call.reason == "idle"


async def test_a_chat_room_asks_by_the_agent_that_has_the_floor() -> None:
    ben = Agent("ben", sounds={"idle": IDLE | {"say": "Not this one."}})
    room = ChatRoom("panel", agents=[agent(), ben])
    async with testing.call(room) as call:
        await until_over(call)
        assert call.reason == "idle"

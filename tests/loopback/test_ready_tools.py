"""Ready tools in a call, over real WebRTC, against a scripted model."""

from __future__ import annotations

import json

import pytest

from conversation.lifecycle import ExitReason
from parley import Agent
from parley.ready_tools import end_call, memory, set_skill
from session.owner_tools import register_tools
from tests.fakes.openai_realtime import tone
from tests.loopback.stage import Stage
from tools import ToolContext, ToolDeclarationError

SKILLS = {"refunds": "Refunds take two days.", "pets": "Dogs are welcome."}


@pytest.mark.asyncio
async def test_a_call_ends_after_the_last_sentence() -> None:
    async with Stage() as stage:
        session = await stage.start(definition=Agent("orders", tools=[end_call]))
        person = await stage.join()
        # Generated at once: it is called while most of the sentence waits to be played.
        await session.say(tone(600), "Bye, and thank you!")
        await session.call_tool("end_call", {"reason": "done"})
        assert await stage.ended() is ExitReason.HUNG_UP
        assert person.loud_ms >= 500
        assert session.all_of("response.create") == []


@pytest.mark.asyncio
async def test_a_goodbye_is_the_last_sentence() -> None:
    async with Stage() as stage:
        definition = Agent("orders", tools=[end_call], goodbye="So long.")
        session = await stage.start(definition=definition, goodbye="So long.")
        person = await stage.join()
        await session.call_tool("end_call", {})
        asked = await session.wait_for("response.create")
        assert asked["response"]["instructions"] == "Say exactly: So long."
        await session.say(tone(300), "So long.")
        assert await stage.ended() is ExitReason.HUNG_UP
        assert person.loud_ms >= 200
        described = session.all_of("session.update")[0]["session"]["tools"][0]["description"]
        assert "goodbye is spoken by itself" in described


@pytest.mark.asyncio
async def test_a_skill_is_loaded_in_mid_call() -> None:
    async with Stage() as stage:
        definition = Agent("orders", tools=[set_skill], loadable_skills=[*SKILLS])
        session = await stage.start(definition=definition, loadable_skills=SKILLS)
        offered = session.all_of("session.update")[0]["session"]["tools"][0]
        assert offered["parameters"]["properties"]["name"]["enum"] == [*SKILLS]
        before = session.all_of("session.update")[0]["session"]["instructions"]
        assert "Refunds" not in before
        await session.call_tool("set_skill", {"name": "refunds"})
        changed = await session.wait_for("session.update", 2)
        assert changed["session"]["instructions"].startswith(before)
        assert "Refunds take two days." in changed["session"]["instructions"]
        told = await session.wait_for("conversation.item.create")
        assert json.loads(told["item"]["output"]) == {"loaded": "refunds"}
        await session.call_tool("set_skill", {"name": "refunds"})
        await session.wait_for("conversation.item.create", 2)
        await session.call_tool("set_skill", {"name": "cats"})
        refused = await session.wait_for("conversation.item.create", 3)
        assert "must be one of" in refused["item"]["output"]
        assert len(session.all_of("session.update")) == 2


def test_set_skill_needs_skills() -> None:
    with pytest.raises(ToolDeclarationError, match="set_skill needs loadable_skills"):
        register_tools(Agent("orders", tools=[set_skill]), ToolContext())


def test_the_tools_are_described() -> None:
    tools = ToolContext()
    register_tools(Agent("orders", tools=[end_call, *memory]), tools)
    described = {each["name"]: each for each in tools.model_description()}
    assert set(described) == {"end_call", "save_memory", "recall_memory", "forget_memory"}
    assert all(each["description"] for each in described.values())
    assert "call" not in described["save_memory"]["parameters"]["properties"]

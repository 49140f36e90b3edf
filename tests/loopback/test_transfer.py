"""A person takes a call over, and gives it back, over real WebRTC."""

from __future__ import annotations

import json
from typing import Any

import pytest

from conversation.lifecycle import ExitReason
from parley import Agent, Call, ModelGuardrail, tool
from tests.fakes.openai_realtime import tone
from tests.loopback.gemini_stage import GeminiStage
from tests.loopback.stage import Stage, soon


@tool(is_silent=True)
async def to_billing(call: Call, should_leave: bool = False) -> str:
    """Connect the caller to billing."""
    await call.transfer("billing", should_leave=should_leave)
    return "a person is asked for"


@pytest.mark.asyncio
async def test_the_agent_is_silent_while_a_person_has_the_call() -> None:
    async with Stage() as stage:
        session = await stage.start(definition=Agent("front", tools=[to_billing]))
        caller = await stage.join(7)
        await session.say(tone(100), "Front desk.")
        await caller.wait_event("agent_playout_done")
        await session.call_tool("to_billing", {})
        # The model writes the summary, beside the conversation.
        asked = await session.wait_for("response.create")
        assert asked["response"]["conversation"] == "none"
        assert "takes this call over" in asked["response"]["instructions"]
        await session.answer_beside(asked["response"], "Ada has a bill of 20 euros.")
        requested = await caller.wait_event("agent_transfer_requested")
        assert requested["target"] == "billing"
        assert requested["summary"] == "Ada has a bill of 20 euros."
        person = await stage.join(requested["uid"])
        joined = await caller.wait_event("agent_transferred")
        assert (joined["target"], joined["uid"]) == ("billing", requested["uid"])
        before_ms = caller.loud_ms
        await session.say(tone(300), "I am still here.")
        await caller.wait_event("agent_playout_done", 2)
        assert caller.loud_ms - before_ms < 50, "the agent spoke over the person"
        # The caller is not left alone with a silent agent.
        await person.leave()
        await caller.until(lambda: len(stage.channel.remote_users) == 1)
        await session.say(tone(300), "I am back.")
        await caller.wait_loud(before_ms + 250)


@pytest.mark.asyncio
async def test_the_agent_leaves_once_the_person_is_there() -> None:
    async with GeminiStage() as stage:
        session = await stage.start_gemini(definition=Agent("front", tools=[to_billing]))
        caller = await stage.join(7)
        await session.hear("I have a bill")
        await session.say(tone(100), "One moment.")
        await caller.wait_event("agent_playout_done")
        await session.call_tools(("c1", "to_billing", {"should_leave": True}))
        requested = await caller.wait_event("agent_transfer_requested")
        # This model writes nothing beside a conversation: the last turns take the place.
        assert "user: I have a bill" in requested["summary"]
        assert "assistant: One moment." in requested["summary"]
        await stage.join(requested["uid"])
        assert await stage.ended() is ExitReason.HUNG_UP


@pytest.mark.asyncio
async def test_the_model_of_the_call_judges_a_turn() -> None:
    judge = ModelGuardrail("insults", on="input", name="civil")
    async with Stage() as stage:
        session = await stage.start(definition=Agent("front", guardrails=[judge]))
        person = await stage.join(7)
        person.send(type="client_text_append", text="you fool")
        asked = await session.wait_for("response.create")
        params: dict[str, Any] = asked["response"]
        assert "you fool" in json.dumps(params["input"])
        assert "insults" in params["instructions"]
        await session.answer_beside(params, "BLOCK")
        tripped = await person.wait_event("agent_guardrail_tripped")
        assert (tripped["guardrail"], tripped["check"]) == ("civil", "input")
        person.send(type="client_text_append", text="good day")
        asked = await session.wait_for("response.create", 2)
        await session.answer_beside(asked["response"], "pass.")
        await session.wait_for("response.create", 3)
        assert not stage.owner_failures


@pytest.mark.asyncio
async def test_a_model_that_cannot_judge_is_a_start_error() -> None:
    judge = ModelGuardrail("insults", on="input")
    async with GeminiStage() as stage:
        running = stage.run(definition=Agent("front", guardrails=[judge]), provider=stage.gemini())
        with pytest.raises(Exception, match="gives no replies beside"):
            await soon(running)

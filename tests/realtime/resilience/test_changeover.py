"""A wanted change of provider: the conversation goes on in another one's session, without a gap."""

from __future__ import annotations

import asyncio
import json

import pytest

from realtime import events as ours
from realtime.gemini.model import GeminiLiveModel
from realtime.model import ModelConnectError, ModelSettings, RealtimeModelConfig
from realtime.openai.model import OpenAIRealtimeModel
from realtime.resilience.model import ModelSource
from tests.fakes.gemini_live import FakeGeminiServer, GeminiSession
from tests.fakes.openai_realtime import FakeRealtimeServer, Faults, tone
from tests.realtime.resilience.stage import Talk, config, numbered, talking

SETTINGS = ModelSettings(instructions="You are the billing department.", voice="Kore")


def gemini(server: FakeGeminiServer) -> ModelSource:
    reached = RealtimeModelConfig(model="gemini-3.8-live", base_uri=server.uri, api_key="k")
    return ModelSource("agent billing", GeminiLiveModel, reached)


async def call_over(talk: Talk, source: ModelSource) -> str:
    """Answer the model's call by a change, as a transfer tool does."""
    call = await talk.until(ours.ToolCallRequested)
    await talk.model.change_over(source, SETTINGS)
    await talk.model.send(ours.AddToolOutput(call.call_id, "You are this agent now."))
    await talk.model.send(ours.CreateResponse())
    return str(call.call_id)


@pytest.mark.asyncio
async def test_a_tool_hands_a_conversation_to_another_provider() -> None:
    async with (
        FakeRealtimeServer() as openai,
        FakeGeminiServer() as server,
        talking(openai, instructions="You answer the phone.") as (talk, first),
    ):
        await talk.model.send(ours.AddText("I have a bill"))
        await first.wait_for("conversation.item.create")
        saying = asyncio.get_running_loop().create_task(call_over(talk, gemini(server)))
        await first.call_tool("transfer_to_billing", {})
        second: GeminiSession = await server.next_session()
        await asyncio.wait_for(saying, 10)
        setup = second.setup
        assert "billing department" in json.dumps(setup["systemInstruction"])
        told = json.dumps([one.content for one in second.received])
        assert "I have a bill" in told
        assert "You are this agent now." in told
        # The request of the agent makes it answer; nothing but one reply is asked for.
        await second.say(tone(100), "Billing here.")
        await talk.until(ours.TranscriptDone)
        assert not talk.all_of(ours.SessionEnded)
        statuses = [each.status for each in talk.all_of(ours.ConnectionChanged)]
        assert statuses == [ours.ConnectionStatus.OPEN], "the change showed as a loss"
        # What users say from now on is for the new one.
        await talk.speak(numbered(1, 5))
        await second.wait_heard(3000)


@pytest.mark.asyncio
async def test_a_change_waits_for_the_end_of_a_reply() -> None:
    async with (
        FakeRealtimeServer() as openai,
        FakeGeminiServer() as server,
        talking(openai) as (talk, first),
    ):
        saying = asyncio.get_running_loop().create_task(
            first.say(tone(1000), "One moment please.", pace=1.0)
        )
        await talk.until(ours.AudioDelta)
        await talk.model.change_over(gemini(server), SETTINGS)
        done = await talk.until(ours.ResponseDone)
        assert done.status is ours.ResponseStatus.COMPLETED
        await saying


@pytest.mark.asyncio
async def test_a_provider_that_cannot_be_reached_leaves_the_present_one() -> None:
    async with FakeRealtimeServer() as openai, talking(openai) as (talk, first):
        refusing = FakeRealtimeServer(faults=Faults(api_key="another"))
        async with refusing:
            source = ModelSource("agent billing", OpenAIRealtimeModel, config(refusing))
            with pytest.raises(ModelConnectError):
                await talk.model.change_over(source, SETTINGS)
        await talk.model.send(ours.CreateResponse())
        await first.wait_for("response.create")


@pytest.mark.asyncio
async def test_a_loss_after_the_change_stays_with_the_new_provider() -> None:
    async with (
        FakeRealtimeServer() as openai,
        FakeRealtimeServer() as other,
        talking(openai) as (talk, _first),
    ):
        source = ModelSource("agent billing", OpenAIRealtimeModel, config(other))
        await talk.model.change_over(source, SETTINGS)
        second = await other.next_session()
        await second.drop()
        third = await other.next_session()
        await third.wait_for("session.update")
        assert third.settings["instructions"] == SETTINGS.instructions

"""Another definition of the owner takes the conversation over, over real WebRTC."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from pydantic import SecretStr

from config.handoff import HandoffConfig
from config.providers import ProviderConfig
from conversation.lifecycle import AgentStartError
from conversation.snapshot import ResumeState
from parley import Agent, Call, Cut, guardrail, tool
from parley.hooks import AgentHandedOver, CallStarted, ReplyFinished
from tests.fakes.gemini_live import FakeGeminiServer, GeminiSession
from tests.fakes.openai_realtime import FakeSession, tone
from tests.loopback.stage import Stage, soon


@tool
def open_bill(number: str) -> str:
    """Open a bill."""
    return f"bill {number}: 20 euros"


def tools_of(session: FakeSession) -> list[str]:
    return [one["name"] for one in session.settings["tools"]]


def front_and_billing(**billing: Any) -> tuple[Agent, Agent]:
    values = {
        "instructions": "You are billing, for {customer}.",
        "description": "Knows everything about bills.",
        "tools": [open_bill],
        "handoffs": ["front"],
    }
    other = Agent("billing", **(values | billing))
    return Agent("front", instructions="You answer the phone.", handoffs=[other]), other


@pytest.mark.asyncio
async def test_the_same_provider_gets_other_settings() -> None:
    front, _ = front_and_billing(voice="cedar")
    async with Stage() as stage:
        session = await stage.start(
            definition=front, metadata={"customer": "Ada"}, voice="marin", system_message="Phone."
        )
        person = await stage.join()
        assert tools_of(session) == ["transfer_to_billing"]
        await session.call_tool("transfer_to_billing", {})
        await session.wait_for("response.create")
        assert session.settings["instructions"] == "You are billing, for Ada."
        assert session.settings["audio"]["output"]["voice"] == "cedar"
        assert tools_of(session) == ["open_bill", "transfer_to_front"]
        handed = await person.wait_event("agent_handed_over")
        assert (handed["previous"], handed["current"]) == ("front", "billing")
        await session.call_tool("open_bill", {"number": "17"})
        output = await session.wait_for("conversation.item.create", 2)
        assert output["item"]["output"] == "bill 17: 20 euros"
        await session.wait_for("response.create", 2)
        await session.call_tool("transfer_to_front", {})
        await session.wait_for("response.create", 3)
        assert session.settings["instructions"] == "Phone."
        assert tools_of(session) == ["transfer_to_billing"]


@pytest.mark.asyncio
async def test_an_agent_brings_its_own_provider_guardrails_and_hooks() -> None:
    handed: list[Any] = []
    heard: list[tuple[str, str]] = []

    def note_handed(call: Call, event: AgentHandedOver) -> None:
        handed.append((call.agent, event))

    def note_heard(call: Call, event: ReplyFinished) -> None:
        heard.append((call.agent, event.text))

    @guardrail("reply", every_characters=5)
    def no_sums(_call: Call, text: str) -> Any:
        return Cut() if "euros" in text else None

    front, _ = front_and_billing(
        provider="gemini",
        guardrails=[no_sums],
        hooks={"reply_finished": note_heard, "agent_handed_over": note_handed},
    )
    front.hooks = {"agent_handed_over": note_handed}
    async with Stage() as stage, FakeGeminiServer() as server:
        provider = ProviderConfig(
            name="gemini", model="gemini-3.8-live", base_uri=server.uri, api_key=SecretStr("k")
        )
        session = await stage.start(
            definition=front,
            metadata={"customer": "Ada"},
            handoffs={"billing": HandoffConfig(provider=provider)},
        )
        person = await stage.join()
        # What is being heard goes on, while the other provider's session is opened.
        await session.say(tone(1500), "I connect you to billing.")
        await session.call_tool("transfer_to_billing", {})
        second: GeminiSession = await server.next_session()
        await person.until(lambda: stage.owner_failures or person.all_of("agent_handed_over"))
        assert not stage.owner_failures, stage.owner_failures[0].message
        assert "billing, for Ada" in json.dumps(second.setup["systemInstruction"])
        declared = json.dumps(second.setup["tools"])
        assert "open_bill" in declared
        assert "transfer_to_front" in declared
        await person.wait_event("agent_handed_over")
        await person.wait_event("agent_playout_done")
        assert person.loud_ms >= 1400, "the voice of the first agent was cut"
        assert not person.all_of("agent_interrupted")
        told = json.dumps([one.content for one in second.received])
        assert "I connect you to billing." in told
        await second.say(tone(200), "Billing here.")
        await person.wait_event("agent_playout_done", 2)
        assert not person.all_of("agent_connection_changed"), "it showed as a loss"
        await second.say(tone(2000), "It is 20 euros in all.", pace=0.5)
        await person.wait_event("agent_guardrail_tripped")
        event = AgentHandedOver("front", "billing")
        said = ("billing", "Billing here.")
        await person.until(lambda: len(handed) == 2 and said in heard)
        assert handed == [("billing", event), ("billing", event)]
        assert stage.call_states[-1] == ({}, "billing")


@pytest.mark.asyncio
async def test_another_voice_after_the_first_word_gets_a_session_of_its_own() -> None:
    front, _ = front_and_billing(voice="cedar", instructions="You are billing.")
    async with Stage() as stage:
        session = await stage.start(definition=front, voice="marin")
        person = await stage.join()
        await session.say(tone(100), "Front desk.")
        await person.wait_event("agent_playout_done")
        await session.call_tool("transfer_to_billing", {})
        second = await stage.provider.next_session()
        await second.wait_for("response.create")
        assert second.settings["audio"]["output"]["voice"] == "cedar"
        assert second.settings["instructions"] == "You are billing."


@pytest.mark.asyncio
async def test_a_handoff_that_fails_leaves_the_floor_where_it_is() -> None:
    def broken(_call: Call) -> str:
        raise LookupError("no customer")

    front, _ = front_and_billing(instructions=broken)
    async with Stage() as stage:
        session = await stage.start(definition=front)
        person = await stage.join()
        await session.call_tool("transfer_to_billing", {})
        output = await session.wait_for("conversation.item.create")
        assert "LookupError: no customer" in output["item"]["output"]
        await session.wait_for("response.create")
        assert tools_of(session) == ["transfer_to_billing"]
        assert not person.all_of("agent_handed_over")
        sources = [each.source for each in stage.owner_failures]
        assert sources == ["instructions", "handoff"]
        assert stage.owner_failures[0].place.startswith("loopback/test_definition_handoff.py:")


@pytest.mark.asyncio
async def test_a_restarted_process_goes_on_with_the_agent_that_had_the_floor() -> None:
    front, _ = front_and_billing(instructions="You are billing.")
    seed = ResumeState(is_of_lost_process=True, agent="billing", call_state='{"order": 17}')
    states: list[dict[str, Any]] = []
    started, loop = asyncio.Event(), asyncio.get_running_loop()

    def note_started(call: Call, _event: CallStarted) -> None:
        states.append(dict(call.state))
        loop.call_soon_threadsafe(started.set)

    front.hooks = {"call_started": note_started}
    front.handoffs[0].hooks = dict(front.hooks)  # type: ignore[union-attr]
    async with Stage() as stage:
        session = await stage.start(definition=front, conversation_seed=seed)
        assert session.settings["instructions"] == "You are billing."
        assert tools_of(session) == ["open_bill", "transfer_to_front"]
        await stage.join()
        await soon(started.wait())
        assert states == [{"order": 17}]


@pytest.mark.asyncio
async def test_instructions_that_fail_are_a_start_error_with_file_and_line() -> None:
    async def broken(_call: Call) -> str:
        raise LookupError("no customer")

    async with Stage() as stage:
        running = stage.run(definition=Agent("front", instructions=broken))
        with pytest.raises(AgentStartError, match=r"no customer \(.*test_definition.*\.py:\d+\)"):
            await soon(running)


@pytest.mark.asyncio
async def test_instructions_are_a_function_of_the_call() -> None:
    async def instructions(call: Call) -> str:
        return f"You serve {call.metadata['customer']}."

    async with Stage() as stage:
        session = await stage.start(
            definition=Agent("front", instructions=instructions), metadata={"customer": "Ada"}
        )
        assert session.settings["instructions"] == "You serve Ada."

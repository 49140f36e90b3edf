"""Another agent of the server takes the conversation over, over real WebRTC."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from config.hosted_tools import HostedTool
from config.settings import ConfigError, Settings
from tests.fakes.openai_realtime import FakeSession, tone
from tests.loopback.gemini_stage import GeminiStage
from tests.loopback.stage import Stage
from toolsets.definitions import AgentDefinition

BILLING = AgentDefinition(
    name="billing",
    description="Knows everything about bills.",
    instructions="You are the billing department.",
    voice="cedar",
    toolset="everyday",
)
REPAIRS = AgentDefinition(name="repairs", description="Repairs.", instructions="You repair.")
DOOR = {"type": "function", "name": "open_door", "description": "Open a door."}
AGENTS = (BILLING, REPAIRS)


def tools_of(session: FakeSession) -> list[str]:
    return [tool["name"] for tool in session.settings["tools"]]


def facts(session: FakeSession) -> tuple[str, str]:
    settings = session.settings
    return settings["instructions"], settings["audio"]["output"]["voice"]


@pytest.mark.asyncio
async def test_a_conversation_is_handed_over_and_back() -> None:
    async with Stage() as stage:
        session = await stage.start(
            agents=AGENTS, tools=(DOOR,), system_message="You answer the phone.", voice="marin"
        )
        person = await stage.join()
        own = ["transfer_to_billing", "transfer_to_repairs", "open_door"]
        assert sorted(tools_of(session)) == sorted(own)
        await session.call_tool("transfer_to_billing", {})
        await session.wait_for("response.create")
        assert facts(session) == ("You are the billing department.", "cedar")
        assert tools_of(session) == [
            "get_current_time",
            "set_timer",
            "transfer_to_main",
            "transfer_to_repairs",
        ]
        told = await person.wait_event("agent_handed_over")
        assert (told["previous"], told["current"]) == ("main", "billing")

        await session.call_tool("get_current_time", {"zone": "Europe/Paris"})
        await session.wait_for("response.create", 2)
        result = await person.wait_event("agent_response_tool_result", 2)
        assert json.loads(result["tool_result"]["output"])["zone"] == "Europe/Paris"
        await session.call_tool("open_door", {})
        await session.wait_for("response.create", 3)
        result = await person.wait_event("agent_response_tool_result", 3)
        assert "no such tool" in result["tool_result"]["output"]

        # What was said keeps its voice: no provider changes it then.
        await session.say(tone(100), "billing here")
        await person.wait_event("agent_playout_done")
        await session.call_tool("transfer_to_main", {})
        await session.wait_for("response.create", 4)
        assert facts(session) == ("You answer the phone.", "cedar")
        assert sorted(tools_of(session)) == sorted(own)


@pytest.mark.asyncio
async def test_tool_servers_of_the_provider_stay_after_a_hand_over() -> None:
    hosted = HostedTool(server_label="docs", server_url="https://tools.example/mcp")
    async with Stage() as stage:
        session = await stage.start(agents=AGENTS, hosted_tools=(hosted,))
        await stage.join()
        assert hosted.declaration() in session.settings["tools"]
        await session.call_tool("transfer_to_repairs", {})
        await session.wait_for("response.create")
        assert facts(session)[0] == "You repair."
        assert hosted.declaration() in session.settings["tools"]


@pytest.mark.asyncio
async def test_another_agent_stays_after_the_provider_was_lost() -> None:
    async with Stage() as stage:
        session = await stage.start(agents=AGENTS)
        await stage.join()
        await session.call_tool("transfer_to_repairs", {})
        await session.wait_for("response.create")
        await session.drop()
        session = await stage.provider.next_session()
        await session.wait_for("session.update")
        assert session.settings["instructions"] == "You repair."
        assert tools_of(session) == ["transfer_to_main", "transfer_to_billing"]


@pytest.mark.asyncio
async def test_gemini_hands_over_too_and_keeps_its_voice() -> None:
    async with GeminiStage() as stage:
        session = await stage.start_gemini(agents=AGENTS)
        person = await stage.join()
        await session.hear("a bill, please")
        await session.call_tools(("c1", "transfer_to_billing", {}))
        told = await person.wait_event("agent_handed_over")
        assert told["current"] == "billing"


# -- configuring -------------------------------------------------------------------------------


def test_agents_are_defined_in_a_file_of_the_server(tmp_path: Path) -> None:
    path = tmp_path / "agents.json"
    path.write_text(json.dumps([BILLING.model_dump(), REPAIRS.model_dump(exclude_none=True)]))
    assert Settings.from_env({"AGENTS_FILE": str(path)}).agents_file == AGENTS


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[", "the file"),
        ("{}", "array"),
        ('[{"name": "a"}]', "description"),
        ('[{"name": "main", "description": "a", "instructions": "b"}]', "answered the call"),
        (
            '[{"name": "a", "description": "a", "instructions": "b", "toolset": "os"}]',
            "known are: everyday",
        ),
        (json.dumps([REPAIRS.model_dump()] * 2), "the same name"),
    ],
)
def test_wrong_definitions_are_refused(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "agents.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match=f"AGENTS_FILE: .*{words}"):
        Settings.from_env({"AGENTS_FILE": str(path)})


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        Settings.from_env({"AGENTS_FILE": str(tmp_path / "nothing")})

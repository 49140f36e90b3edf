"""The log of a real server with real agents, as a collector reads it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.fakes.openai_realtime import FakeSession, tone
from tests.processes.test_recall import calling

GREETING, PROMPT = "Greetings from the log", "You are told things of the log"
ASKED, SAID = "What is a wombat of the log", "It is a marsupial of the log"
SECRETS = ("sk-test", "sk-must-not-leak", GREETING, PROMPT, ASKED, SAID, "look_up")
TOOL = {"name": "look_up", "description": "", "parameters": {"type": "object"}}


async def talk(session: FakeSession) -> None:
    item_id = await session.speech_started()
    await session.speech_stopped(item_id, ASKED)
    await session.say(tone(200), SAID)


@pytest.mark.asyncio
async def test_every_line_parses_and_none_tells_words_or_secrets(tmp_path: Path) -> None:
    async with calling(
        tmp_path,
        changes={"log_format": "json"},
        greeting=GREETING,
        system_message=PROMPT,
        tools=[TOOL],
    ) as scene:
        await talk(scene.session)
        await scene.person.wait_event("agent_playout_done")
        await scene.session.call_tool("look_up", {"what": ASKED})
        await scene.person.wait_event("agent_response_tool_use_done")
        await scene.survive()
        await scene.server.post("/stop_agent", {"channel_name": "demo"})
        text = scene.server.log.read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    assert all({"time", "level", "logger", "message"} <= line.keys() for line in lines)
    of_agents = [line for line in lines if line.get("channel") == "demo"]
    assert len({line["agent_id"] for line in of_agents}) == 1
    assert len({line["pid"] for line in of_agents}) == 2, "before and after the kill"
    for secret in SECRETS:
        assert secret not in text

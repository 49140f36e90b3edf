"""Several agents in one call of a real server: each has its own session with the provider."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.deadlines import DEADLINE_S
from tests.fakes.openai_realtime import FakeRealtimeServer, FakeSession, tone
from tests.processes.conftest import ServerProcess, until
from tests.processes.test_app import serve

APP = '''
from parley import Agent, ChatRoom

def find_order(number: str) -> str:
    """Look up an order."""
    return "on its way"

ada = Agent("ada", display_name="Ada", model="gpt-ada", instructions="You explain.")
ben = Agent("ben", display_name="Ben", model="gpt-ben", voice="cedar", tools=[find_order])
panel = ChatRoom("panel", agents=[ada, ben])
'''


async def start(server: ServerProcess, provider: FakeRealtimeServer) -> dict[str, FakeSession]:
    """Start the panel; the sessions of its agents."""
    status, answer = await server.post("/start_agent", {"channel_name": "demo", "agent": "panel"})
    assert status == 200, answer
    return await sessions(provider)


async def sessions(provider: FakeRealtimeServer) -> dict[str, FakeSession]:
    both = [await provider.next_session() for _ in range(2)]
    return {str(one.settings["model"]).removeprefix("gpt-"): one for one in both}


def texts(session: FakeSession) -> list[str]:
    """Messages that this agent's model was given."""
    items = [frame["item"] for frame in session.all_of("conversation.item.create")]
    return [part["text"] for item in items for part in item.get("content", ()) if "text" in part]


async def heard(session: FakeSession, text: str) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while text not in texts(session):
            await session.wait_for(
                "conversation.item.create", len(session.all_of("conversation.item.create")) + 1
            )


@pytest.mark.asyncio
async def test_each_agent_speaks_in_turn_and_gets_what_the_others_said(tmp_path: Path) -> None:
    app = tmp_path / "panel.py"
    app.write_text(APP)
    async with FakeRealtimeServer() as provider:
        with serve(tmp_path, provider.uri, app) as server:
            models = await start(server, provider)
            ada, ben = models["ada"], models["ben"]
            assert "the others are Ben" in str(ada.settings["instructions"])
            assert str(ada.settings["instructions"]).startswith("You explain.")
            assert [one["name"] for one in ben.settings["tools"]] == ["find_order"]
            assert not ada.settings["tools"]
            item = await ada.speech_started()
            await ada.speech_stopped(item, "Ben, where is my order?")
            await heard(ben, "Ben, where is my order?")
            await ben.wait_for("response.create")
            await ben.call_tool("find_order", {"number": "7"})
            await ben.wait_for("response.create", 2)
            await ben.say(tone(200), "It is on its way, ask Ada.")
            await heard(ada, "Ben: It is on its way, ask Ada.")
            await ada.wait_for("response.create")
            assert len(ben.all_of("response.create")) == 2
            await ada.say(tone(200), "That is right.")
            await heard(ben, "Ada: That is right.")
            await until_stored(server, "That is right.")
            _, transcript = await server.get("/agents/demo/transcript")
            spoken = [
                (each.get("speaker"), each["text"])
                for each in transcript["entries"]
                if each["type"] == "text"
            ]
            assert ("ben", "It is on its way, ask Ada.") in spoken
            assert ("ada", "That is right.") in spoken


@pytest.mark.asyncio
async def test_a_lost_process_is_replaced_and_each_agent_knows_what_was_said(
    tmp_path: Path,
) -> None:
    app = tmp_path / "panel.py"
    app.write_text(APP)
    async with FakeRealtimeServer() as provider:
        with serve(tmp_path, provider.uri, app) as server:
            models = await start(server, provider)
            await models["ada"].say(tone(100), "I am Ada.")
            await heard(models["ben"], "Ada: I am Ada.")
            await until_stored(server, "I am Ada.")
            _, agent = await server.get("/agents/demo")
            os.kill(agent["pid"], signal.SIGKILL)
            models = await sessions(provider)
            await heard(models["ada"], "I am Ada.")
            await heard(models["ben"], "Ada: I am Ada.")


async def until_stored(server: ServerProcess, text: str) -> None:
    """Until the transcript has this text, heard to its end."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            _, transcript = await server.get("/agents/demo/transcript")
            texts = [one for one in transcript.get("entries", ()) if one["type"] == "text"]
            if any(one["text"] == text and not one["is_open"] for one in texts):
                return
            await asyncio.sleep(0.05)


@pytest.mark.asyncio
async def test_agents_without_a_room_are_named_in_the_start(tmp_path: Path) -> None:
    app = tmp_path / "panel.py"
    app.write_text(APP)
    async with FakeRealtimeServer() as provider:
        with serve(tmp_path, provider.uri, app) as server:
            wanted: dict[str, Any] = {"channel_name": "demo", "agents": ["ben", "ada"]}
            status, answer = await server.post("/start_agent", wanted | {"agents": ["ben"]})
            assert (status, "two or more" in answer["error"]) == (400, True), answer
            status, answer = await server.post("/start_agent", wanted | {"agents": ["ben", "x"]})
            assert (status, answer["code"]) == (400, "unknown_agent"), answer
            status, answer = await server.post("/start_agent", wanted)
            assert status == 200, answer
            models = await sessions(provider)
            status, answer = await server.post(
                "/agents/demo/text", {"text": "hello", "agent": "ada"}
            )
            assert status == 200, answer
            await models["ada"].wait_for("response.create")
            await until(lambda: "hello" in texts(models["ben"]))
            _, listed = await server.get("/agents/definitions")
            [room] = [one for one in listed["agents"] if one["members"]]
            assert (room["name"], room["moderator"]) == ("panel", "addressed")

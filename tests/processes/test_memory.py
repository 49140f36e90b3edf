"""Memory tools over the real server: kept beyond the call, under the key of the start."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from control.child.entry import DEFAULT_ENTRY
from control.supervisor.stop_sequence import DEFAULT_DEADLINES
from tests.fakes.openai_realtime import FakeRealtimeServer, FakeSession
from tests.processes.conftest import ServerProcess, server_process
from tests.processes.test_real_agent import START, settings

APP = """
from parley import Agent
from parley.ready_tools import memory

friend = Agent("friend", tools=memory)
"""


class Caller:
    """The model's side of one call."""

    def __init__(self, session: FakeSession) -> None:
        self._session = session
        self._calls = 0

    async def use(self, tool: str, **arguments: Any) -> Any:
        """Call a tool; returns what the model is told."""
        self._calls += 1
        await self._session.call_tool(tool, arguments)
        event = await self._session.wait_for("conversation.item.create", self._calls)
        return json.loads(event["item"]["output"])


async def begin(server: ServerProcess, provider: FakeRealtimeServer, **start: Any) -> Caller:
    status, answer = await server.post("/start_agent", START | {"agent": "friend"} | start)
    assert status == 200, answer
    return Caller(await provider.next_session())


@pytest.mark.asyncio
async def test_a_later_call_knows_what_an_earlier_one_kept(tmp_path: Path) -> None:
    app = tmp_path / "friends.py"
    app.write_text(APP)
    async with FakeRealtimeServer() as provider:
        wanted = settings(provider.uri) | {"app": str(app)}
        with server_process(tmp_path, wanted, DEFAULT_ENTRY, DEFAULT_DEADLINES) as server:
            first = await begin(server, provider, memory_key="ann", thread_id="t1")
            kept = await first.use("save_memory", text="likes green tea")
            await first.use("save_memory", text="is called Ann")
            await server.post("/stop_agent", {"channel_name": "demo"})

            second = await begin(server, provider, memory_key="ann")
            assert await second.use("recall_memory", query="tea") == [
                {"id": kept["id"], "text": "likes green tea"}
            ]
            assert await second.use("forget_memory", id=kept["id"]) == {"status": "forgotten"}
            assert "no text" in (await second.use("forget_memory", id=kept["id"]))["error"]
            await server.post("/stop_agent", {"channel_name": "demo"})

            status, shown = await server.get("/memory/ann")
            assert (status, [each["text"] for each in shown["texts"]]) == (200, ["is called Ann"])
            assert (await server.delete("/memory/ann"))[1] == {"memory_key": "ann", "deleted": 1}
            assert (await server.get("/memory/t1"))[1]["texts"] == []
            assert (await server.get("/memory/%00"))[0] == 400

            nameless = await begin(server, provider)
            assert (
                "neither memory_key, person_id nor thread_id"
                in (await nameless.use("save_memory", text="x"))["error"]
            )

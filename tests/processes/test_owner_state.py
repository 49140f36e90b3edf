"""State, errors and record of an owner's code in a real server, over kill -9 and a later call."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from control.child.entry import DEFAULT_ENTRY
from control.supervisor.stop_sequence import DEFAULT_DEADLINES
from tests.deadlines import DEADLINE_S
from tests.fakes.openai_realtime import FakeRealtimeServer
from tests.processes.conftest import ServerProcess, server_process
from tests.processes.test_real_agent import settings

APP = '''
import json
from pathlib import Path

from parley import Agent, Call

FOLDER = Path({folder!r})

def add(call: Call, item: str) -> list[str]:
    """Add an item to the cart."""
    if item == "poison":
        raise LookupError("no such item")
    call.state.setdefault("cart", []).append(item)
    return call.state["cart"]

def serve(call: Call) -> str:
    return "The cart holds: " + ", ".join(call.state.get("cart", []))

shop = Agent("shop", instructions=serve, tools=[add])

@shop.on("call_ended")
def ended(call, event):
    (FOLDER / "ended.json").write_text(json.dumps(event.record))
'''


async def shown(
    server: ServerProcess, path: str, condition: Callable[[dict[str, Any]], object]
) -> dict[str, Any]:
    async with asyncio.timeout(DEADLINE_S):
        while True:
            status, answer = await server.get(path)
            if status == 200 and condition(answer):
                return answer
            await asyncio.sleep(0.02)


@pytest.mark.asyncio
async def test_state_survives_a_lost_process_and_goes_on_in_a_later_call(tmp_path: Path) -> None:
    app = tmp_path / "shop.py"
    app.write_text(APP.replace("{folder!r}", repr(str(tmp_path))))
    async with FakeRealtimeServer() as provider:
        wanted = settings(provider.uri) | {"app": str(app), "warm_processes": 1}
        with server_process(tmp_path, wanted, DEFAULT_ENTRY, DEFAULT_DEADLINES) as server:
            start = {"channel_name": "demo", "agent": "shop", "thread_id": "t1"}
            status, answer = await server.post("/start_agent", start)
            assert status == 200, answer
            call_id = answer["agent_id"]
            session = await provider.next_session()
            assert session.settings["instructions"] == "The cart holds:"
            for item in ("tea", "poison"):
                await session.call_tool("add", {"item": item})
            await session.wait_for("conversation.item.create", 2)
            details = await shown(
                server, f"/calls/{call_id}", lambda one: one["black_box"]["owner_errors"]
            )
            [failure] = details["black_box"]["owner_errors"]
            assert (failure["source"], failure["name"]) == ("tool", "add")
            assert failure["message"] == "LookupError: no such item"
            assert "shop.py:12" in failure["place"]
            kept = {"cart": ["tea"]}
            await shown(server, f"/calls/{call_id}", lambda one: one["call_state"] == kept)
            # The last call of a tool outlives the process only once the server has it.
            transcript = f"/calls/{call_id}/transcript"
            await shown(server, transcript, lambda one: "poison" in json.dumps(one))

            agent = await shown(server, "/agents/demo", lambda one: one["pid"])
            os.kill(agent["pid"], signal.SIGKILL)
            session = await provider.next_session()
            await session.wait_for("session.update")
            assert session.settings["instructions"] == "The cart holds: tea"
            await session.call_tool("add", {"item": "cake"})
            await shown(
                server, f"/calls/{call_id}", lambda one: len(one["call_state"]["cart"]) == 2
            )
            await shown(server, transcript, lambda one: "cake" in json.dumps(one))
            await shown(server, "/agents/demo", lambda one: one["restarts"] == 1)
            status, answer = await server.post("/stop_agent", {"channel_name": "demo"})
            assert (status, answer["exit_reason"]) == (200, "stopped"), answer
            record = json.loads((tmp_path / "ended.json").read_text())
            assert (record["call_id"], record["agent"]) == (call_id, "shop")
            assert record["state"] == {"cart": ["tea", "cake"]}
            assert [one["name"] for one in record["tool_calls"]] == ["add", "add", "add"]

            status, answer = await server.post("/start_agent", start)
            assert status == 200, answer
            session = await provider.next_session()
            assert session.settings["instructions"] == "The cart holds: tea, cake"

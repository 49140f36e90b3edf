"""The product's own agent in its own process, joined to a real room and a provider of the test's."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import Any

import pytest

from control.child.entry import DEFAULT_ENTRY
from control.supervisor.stop_sequence import DEFAULT_DEADLINES
from tests.fakes.openai_realtime import FakeRealtimeServer
from tests.processes.conftest import ServerProcess, all_gone, server_process, until

START = {"channel_name": "demo", "uid": 1000}


def settings(provider_uri: str) -> dict[str, Any]:
    return {
        "model_provider": "openai",
        "openai_api_key": "sk-test",
        "realtime_api_base_uri": provider_uri,
        "local_model_uri": "ws://127.0.0.1:9",
    }


def serve(tmp_path: Path, provider_uri: str, **changes: Any) -> Any:
    wanted = settings(provider_uri) | changes
    return server_process(tmp_path, wanted, DEFAULT_ENTRY, DEFAULT_DEADLINES)


@pytest.mark.asyncio
async def test_an_agent_is_ready_and_stops_politely(tmp_path: Path) -> None:
    async with FakeRealtimeServer() as provider:
        with serve(tmp_path, provider.uri) as server:
            idle = len(server.descendants())
            status, answer = await server.post("/start_agent", START)
            assert (status, answer["state"]) == (200, "ready"), answer
            assert {"process", "joining", "connecting", "total"} <= set(answer["timings_ms"])
            await provider.next_session()
            status, answer = await server.post("/stop_agent", {"channel_name": "demo"})
            assert (status, answer["exit_reason"]) == (200, "stopped")
            assert (answer["exit_code"], answer["stopped_by"]) == (0, "ask")
            assert len(server.descendants()) == idle
            assert "Traceback" not in server.log.read_text()


@pytest.mark.asyncio
async def test_an_unreachable_provider_fails_the_start_and_leaves_nothing(tmp_path: Path) -> None:
    with serve(tmp_path, "ws://127.0.0.1:9") as server:
        idle = len(server.descendants())
        status, answer = await server.post("/start_agent", START)
        assert (status, answer["code"]) == (502, "start_failed"), answer
        assert answer["details"][0]["phase"] == "connecting"
        assert len(server.descendants()) == idle
        assert "sk-test" not in server.log.read_text()


@pytest.mark.asyncio
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_no_agent_outlives_its_server(tmp_path: Path, number: signal.Signals) -> None:
    async with FakeRealtimeServer() as provider:
        with serve(tmp_path, provider.uri, warm_processes=2) as server:
            await asyncio.gather(start(server, "one"), start(server, "two"))
            family = server.descendants()
            server.signal(number)
            code = await asyncio.to_thread(server.wait)
            assert code == (0 if number is signal.SIGTERM else -number)
            await until(lambda: all_gone(family))


async def start(server: ServerProcess, channel_name: str) -> None:
    status, answer = await server.post("/start_agent", START | {"channel_name": channel_name})
    assert status == 200, answer

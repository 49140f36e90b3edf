"""Tools of an MCP server in the product's own agent process."""

from __future__ import annotations

import asyncio
import os
import shlex
import sys
import time
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest

from control.child.entry import DEFAULT_ENTRY
from control.supervisor.stop_sequence import DEFAULT_DEADLINES
from tests.fakes.openai_realtime import FakeRealtimeServer
from tests.processes.conftest import server_process
from tests.toolsets.test_mcp import until
from toolsets.mcp import OPEN_TIMEOUT_S

SCRIPT = Path(__file__).parents[1] / "fakes" / "mcp_server.py"
START = {"channel_name": "demo", "uid": 1000, "toolset": "mcp:words"}


def settings(provider_uri: str, servers: str) -> dict[str, str]:
    return {
        "model_provider": "openai",
        "openai_api_key": "sk-test",
        "realtime_api_base_uri": provider_uri,
        "local_model_uri": "ws://127.0.0.1:9",
        "mcp_servers": servers,
    }


@pytest.mark.asyncio
async def test_its_tools_reach_the_model_and_its_process_ends_with_the_agent(
    tmp_path: Path,
) -> None:
    command = shlex.join([sys.executable, str(SCRIPT), str(tmp_path / "pid")])
    async with FakeRealtimeServer() as provider:
        wanted = settings(provider.uri, f"words={command}")
        with server_process(tmp_path, wanted, DEFAULT_ENTRY, DEFAULT_DEADLINES) as server:
            idle = len(server.descendants())
            status, answer = await server.post("/start_agent", START)
            assert status == 200, answer
            assert "tools" in answer["timings_ms"]
            session = await provider.next_session()
            assert session.settings["tools"][0]["name"] == "count_words"
            await session.call_tool("count_words", {"text": "one two"})
            item = (await session.wait_for("conversation.item.create"))["item"]
            assert item["output"] == "2"
            status, answer = await server.post("/stop_agent", {"channel_name": "demo"})
            assert (status, answer["exit_code"], answer["stopped_by"]) == (200, 0, "ask")
            assert len(server.descendants()) == idle


@pytest.mark.asyncio
async def test_a_server_that_is_none_fails_the_start_in_its_own_phase(tmp_path: Path) -> None:
    async with FakeRealtimeServer() as provider:
        wanted = settings(provider.uri, "words=/no/such/program --key=sk-secret")
        with server_process(tmp_path, wanted, DEFAULT_ENTRY, DEFAULT_DEADLINES) as server:
            status, answer = await server.post("/start_agent", START)
            assert (status, answer["code"]) == (502, "start_failed"), answer
            assert answer["details"][0]["phase"] == "tools"
            status, answer = await server.post("/start_agent", START | {"toolset": "mcp:none"})
            assert (status, answer["code"]) == (400, "unknown_toolset")
            assert "sk-secret" not in server.log.read_text()


@pytest.mark.asyncio
async def test_a_silent_program_fails_the_start_in_time_and_nothing_is_left(tmp_path: Path) -> None:
    async with FakeRealtimeServer() as provider:
        duration = f"1000.{os.getpid()}"
        wanted = settings(provider.uri, f"words=sh -c 'setsid sleep {duration} & sleep {duration}'")
        with server_process(tmp_path, wanted, DEFAULT_ENTRY, DEFAULT_DEADLINES) as server:
            began_s = time.monotonic()
            async with asyncio.TaskGroup() as group:
                starting = group.create_task(server.post("/start_agent", START))
                await until(lambda: len(_running(duration)) == 2)
            status, answer = starting.result()
            assert (status, answer["details"][0]["phase"]) == (504, "tools"), answer
            assert answer["details"][0]["cause"] == "timeout"
            assert time.monotonic() - began_s < OPEN_TIMEOUT_S + 5
            await until(lambda: not _running(duration))


def _running(duration: str) -> list[psutil.Process]:
    """Return the processes that sleep for this time, whatever their parent."""
    return [
        one for one in psutil.process_iter(["cmdline"]) if duration in (one.info["cmdline"] or ())
    ]

"""Calls leave no objects in the memory of a server."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from pathlib import Path

import pytest

from tests.deadlines import DEADLINE_S
from tests.processes.conftest import ServerProcess, server_process, until
from tests.processes.test_server import restarted, start_body

# Classes with an instance per call, the loop's included.
_OURS = ("agent.", "config.", "control.", "conversation.", "rtc.", "utils.")
_OF_THE_LOOP = ("_asyncio.Task", "_asyncio.Future", "asyncio.locks.Event", "socket.socket")
# Kept for the health of providers, at most `MAX_NOTES` of each.
_BOUNDED = "control.status.providers.Note"
CALLS = 8


async def call(server: ServerProcess, *, is_killed: bool) -> None:
    """One call of a channel, whose process may have to be replaced."""
    status, answer = await server.post("/start_agent", start_body())
    assert status == 200, answer
    if is_killed:
        os.kill((await server.get("/agents/demo"))[1]["pid"], signal.SIGKILL)
        await restarted(server, "demo")
    status, answer = await server.post("/stop_agent", {"channel_name": "demo"})
    assert status == 200, answer


async def counted(server: ServerProcess, path: Path) -> dict[str, int]:
    """The server's objects that belong to calls, by class."""
    server.signal(signal.SIGUSR1)
    await until(path.exists)
    return _read(path)


def _read(path: Path) -> dict[str, int]:
    found: dict[str, int] = json.loads(path.read_text())
    path.unlink()
    return {
        kind: count
        for kind, count in found.items()
        if (kind.startswith(_OURS) or kind in _OF_THE_LOOP) and kind != _BOUNDED
    }


@pytest.mark.asyncio
async def test_calls_leave_no_objects_in_the_server(tmp_path: Path) -> None:
    path = tmp_path / "data" / "counts.json"
    with server_process(tmp_path) as server:
        for _ in range(3):
            await call(server, is_killed=True)
        before = await counted(server, path)
        assert any(kind.startswith("control.") for kind in before)
        for number in range(CALLS):
            await call(server, is_killed=number % 4 == 0)
        # What is still being written, or a connection that is being closed, goes in a moment.
        grown = {}
        try:
            async with asyncio.timeout(DEADLINE_S):
                while grown := _growth(before, await counted(server, path)):  # noqa: ASYNC110
                    await asyncio.sleep(0.2)
        except TimeoutError:
            pytest.fail(f"more than before {CALLS} calls: {grown}")


def _growth(before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
    return {
        kind: count - before.get(kind, 0)
        for kind, count in after.items()
        if count > before.get(kind, 0)
    }

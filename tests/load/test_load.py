"""The command `load` against a real server, with callers over real WebRTC in processes of their own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.fakes.answering_model import AnsweringModel
from tests.fakes.openai_realtime import tone
from tests.real_server import ROOT, RealServer, is_alive, open_real_server, poll

KEY = "a-key-of-this-test"
DEADLINE_S = 90.0


@contextlib.asynccontextmanager
async def loaded_server(**settings: str) -> AsyncIterator[RealServer]:
    """A server with a key, whose agents answer each turn with a second of a tone."""
    async with (
        AnsweringModel(tone(1000)) as model,
        open_real_server(
            MODEL_PROVIDER="openai",
            OPENAI_API_KEY="sk-test",
            REALTIME_API_BASE_URI=model.uri,
            LOCAL_MODEL_URI=model.uri,
            API_KEYS=KEY,
            ROOM_TOKEN_SECRET="a secret of rooms, thirty-two characters",
            MAX_CPU_PERCENT="100",
            **settings,
        ) as server,
    ):
        yield server


async def start_load(
    server: RealServer, *options: str, key: str = KEY
) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "main", "load", "--server", server.url, *options),
        *("--say", "tests/data/speech/u01_f.wav", "tests/data/speech/u03_f.wav"),
        cwd=ROOT,
        env={**os.environ, "PARLEY_ENV_FILE": "", "API_KEYS": key},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )


async def agents(server: RealServer) -> list[dict[str, Any]]:
    headers = {"Authorization": f"Bearer {KEY}"}
    async with (
        aiohttp.ClientSession(headers=headers) as http,
        http.get(f"{server.url}agents") as response,
    ):
        assert response.status == 200
        found: list[dict[str, Any]] = (await response.json())["agents"]
        return found


def children(pid: int) -> list[int]:
    task = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in task.read_text().split()]


@pytest.mark.asyncio
async def test_calls_are_made_refused_measured_and_ended(tmp_path: Path) -> None:
    async with loaded_server(MAX_AGENTS="2") as server:
        file, folder = tmp_path / "new" / "load.json", tmp_path / "report"
        searched = tmp_path / "limit.json"
        options = ("--calls", "3", "--ramp", "0.5s", "--duration", "6s")
        process = await start_load(server, *options, "--json", str(file), "--report", str(folder))
        async with asyncio.timeout(DEADLINE_S):
            output, errors = await process.communicate()
        assert (process.returncode, errors.decode()) == (3, "")
        assert await agents(server) == []
        search = await start_load(
            server, "--find-limit", "--ramp", "0.1s", "--duration", "3s", "--json", str(searched)
        )
        async with asyncio.timeout(DEADLINE_S):
            found, errors = await search.communicate()
        assert (search.returncode, errors.decode()) == (0, "")
        assert await agents(server) == []
        wrong = await start_load(server, "--calls", "1", key="another-key-of-this-test")
        async with asyncio.timeout(DEADLINE_S):
            _, errors = await wrong.communicate()
        assert wrong.returncode == 1
        assert "401" in errors.decode()
    result = json.loads(file.read_text())
    (level,) = result["levels"]
    assert (level["wanted"], level["calls"]) == (3, 2)
    assert level["refused"] == {"at_capacity: agents": 1}
    assert level["ready_ms"]["count"] == level["connected_ms"]["count"] == 2
    assert (level["silent"], level["ended"], level["restarts"]) == (0, 0, 0)
    assert level["turns"] >= 2
    # The model waits for 300 ms of silence, and nothing of the way back can take no time.
    assert 300 < level["latency_ms"]["median"] < 15_000
    assert level["frames"] > 50
    assert level["cores_per_agent"] > 0
    assert level["mb_per_agent"] > 1
    assert level["server_cores"] is not None
    assert level["step_ms"]["total"] > 0
    assert {"calls", "late", "agent_cores"} <= result["samples"][-1].keys()
    assert "1 x at_capacity: agents" in output.decode()
    assert "<svg" in (folder / "load.html").read_text()

    result = json.loads(searched.read_text())
    # The machine of this test may be too busy for two calls, which then is the limit that comes first.
    assert result["is_searched"]
    assert result["levels"][0]["wanted"] == 4
    assert result["levels"][0]["refused"] == {"at_capacity: agents": 2}
    assert result["limit"]["kind"] in ("refused", "late", "callers")
    assert "sound; first limit" in found.decode()


@pytest.mark.asyncio
async def test_ctrl_c_reports_and_leaves_no_agent_and_no_process() -> None:
    async with loaded_server() as server:
        process = await start_load(server, "--calls", "2", "--ramp", "0.2s", "--duration", "10m")
        callers: list[int] = []

        async def are_talking() -> bool:
            nonlocal callers
            vitals = [one["vitals"] or {} for one in await agents(server)]
            callers = children(process.pid)
            return len(vitals) == 2 and all(one.get("connected_users") for one in vitals)

        await poll(are_talking, DEADLINE_S)
        assert len(callers) == 1
        # As a terminal does, to the whole group.
        os.killpg(process.pid, signal.SIGINT)
        async with asyncio.timeout(DEADLINE_S):
            output, errors = await process.communicate()
        assert (process.returncode, errors.decode()) == (130, "")
        assert "interrupted" in output.decode()
        assert await agents(server) == []
        assert not any(is_alive(pid) for pid in callers)


@pytest.mark.asyncio
async def test_no_server_is_one_line() -> None:
    server = RealServer("http://127.0.0.1:9/", None)  # type: ignore[arg-type]
    process = await start_load(server, "--calls", "1")
    async with asyncio.timeout(DEADLINE_S):
        _, errors = await process.communicate()
    assert process.returncode == 1
    assert len(errors.decode().splitlines()) == 1
    assert "no server answers" in errors.decode()

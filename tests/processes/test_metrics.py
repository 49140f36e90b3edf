"""The figures of a real server, while its agents come, are killed, and go."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import aiohttp
import pytest

from tests.control.metrics.test_metrics import read
from tests.deadlines import DEADLINE_S
from tests.processes.conftest import ServerProcess, server_process
from tests.real_server import poll

WORDS = "words that nobody else may read"


async def scrape(server: ServerProcess) -> str:
    async with aiohttp.ClientSession(server.url) as http, http.get("/metrics") as response:
        assert response.status == 200
        return await response.text()


async def agent_pid(server: ServerProcess) -> int | None:
    _, status = await server.get("/agents/secret-channel")
    pid: int | None = status["pid"]
    return pid


@pytest.mark.asyncio
async def test_counters_never_fall_over_a_restart_and_hold_no_secret(tmp_path: Path) -> None:
    with server_process(tmp_path) as server:
        before = read(await scrape(server))
        body = {"channel_name": "secret-channel", "uid": 54321, "system_message": WORDS}
        assert (await server.post("/start_agent", body))[0] == 200

        def sent(samples: dict[tuple[str, tuple[tuple[str, str], ...]], float]) -> float:
            return samples.get(("parley_media_total", (("count", "packets_sent"),)), 0)

        async def has_sent_more() -> bool:
            return sent(read(await scrape(server))) > 100

        await poll(has_sent_more, DEADLINE_S)
        first = read(await scrape(server))
        lost = await agent_pid(server)
        assert lost is not None
        os.kill(lost, signal.SIGKILL)

        async def is_back() -> bool:
            return await agent_pid(server) not in (None, lost)

        async def has_sent_again() -> bool:
            return sent(read(await scrape(server))) > sent(first)

        await poll(is_back, DEADLINE_S)
        await poll(has_sent_again, DEADLINE_S)
        text = await scrape(server)
        second = read(text)
        for name, value in (before | first).items():
            if name[0].endswith(("_total", "_count", "_sum", "_bucket")):
                assert second[name] >= value, name
        assert second["parley_agent_restarts_total", ()] == 1
        crashed = (("is_restarted", "true"), ("reason", "crashed"))
        assert second["parley_agent_exits_total", crashed] == 1
        assert second["parley_agents", (("state", "ready"),)] == 1
        assert second["parley_store_given_up_total", ()] == 0
        assert second["parley_agent_start_seconds_count", (("phase", "total"),)] == 2
        assert second["parley_pool_claims_total", (("is_hit", "false"),)] == 2
        for secret in ("secret-channel", "54321", WORDS, "sk-must-not-leak", str(lost)):
            assert f'"{secret}"' not in text
            assert WORDS not in text

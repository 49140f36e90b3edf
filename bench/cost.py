"""What a call costs: processor and memory of its agent process, listening and speaking.

With `MERGE_PAGES=1` in the environment the server has it too.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from dataclasses import dataclass, field

from bench.figures import row
from bench.processes import cpu_s, memory_mb
from bench.speech import talk
from bench.stand import Caller, Server, calling, running_server
from tests.fakes.openai_realtime import FakeSession

CALLS = 6
WINDOW_S = 10.0


@dataclass
class Costs:
    """One value per call. Cores: processor seconds per second; memory in MB."""

    listening_cores: list[float] = field(default_factory=list)
    speaking_cores: list[float] = field(default_factory=list)
    private_mb: list[float] = field(default_factory=list)
    proportional_mb: list[float] = field(default_factory=list)


async def rows() -> list[str]:
    """Every figure of this part."""
    async with running_server(MERGE_PAGES=os.environ.get("MERGE_PAGES", "")) as server:
        costs = await measure_costs(server)
    at_once = f"{CALLS} calls"
    return [
        row(f"cores per call, listening, {at_once}", "cores", costs.listening_cores, digits=3),
        row(f"cores per call, speaking, {at_once}", "cores", costs.speaking_cores, digits=3),
        row("private memory per call", "MB", costs.private_mb),
        row("proportional memory per call", "MB", costs.proportional_mb),
    ]


async def measure_costs(server: Server) -> Costs:
    """Several calls at once: first people talk, then the agents do."""
    costs = Costs()
    async with contextlib.AsyncExitStack() as stack:
        sessions: list[FakeSession] = []
        callers: list[Caller] = []
        for number in range(CALLS):
            session, _ = await server.start_agent(f"cost-{number}")
            sessions.append(session)
            callers.append(await stack.enter_async_context(calling(server, f"cost-{number}")))
        pids = [agent["pid"] for agent in await server.agents()]
        speech = talk(WINDOW_S + 3)
        for caller in callers:
            caller.channel.push_audio_frame(speech)
        costs.listening_cores = await _cores(pids)
        await asyncio.sleep(3)
        replies = [
            asyncio.get_running_loop().create_task(session.say(speech, "talk", pace=0.5))
            for session in sessions
        ]
        costs.speaking_cores = await _cores(pids)
        for pid in pids:
            private, proportional = memory_mb(pid)
            costs.private_mb.append(private)
            costs.proportional_mb.append(proportional)
        await asyncio.wait(replies)
    for number in range(CALLS):
        await server.post("/stop_agent", channel_name=f"cost-{number}")
    return costs


async def _cores(pids: list[int]) -> list[float]:
    await asyncio.sleep(1)
    began_s, before = time.monotonic(), [cpu_s(pid) for pid in pids]
    await asyncio.sleep(WINDOW_S)
    took_s = time.monotonic() - began_s
    return [(cpu_s(pid) - spent) / took_s for pid, spent in zip(pids, before, strict=True)]

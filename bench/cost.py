"""Cost of a call: processor and memory of its agent process, listening and speaking; and of the
whole process tree of the server while callers send silence as packets.

With `MERGE_PAGES=1` in the environment the server has it too. With `BASELINE=TREE`, another working
tree of this project, the callers that send silence are served by both trees in turns, `COST_ROUNDS` (3)
times: what else the machine does then burdens both alike.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from bench.figures import row
from bench.processes import TreeCpu, cpu_s, memory_mb
from bench.speech import talk
from bench.stand import DEADLINE_S, ROOT, Caller, Server, calling, running_server
from tests.fakes.openai_realtime import FakeSession

CALLS = 6
WINDOW_S = 10.0
SETTLE_S = 4.0
ROUNDS = int(os.environ.get("COST_ROUNDS", "3"))


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
    baseline = os.environ.get("BASELINE")
    trees = {"": ROOT} if baseline is None else {"baseline, ": Path(baseline), "": ROOT}
    silent = await measure_silent(trees)
    return [
        row(f"cores per call, listening, {at_once}", "cores", costs.listening_cores, digits=3),
        row(f"cores per call, speaking, {at_once}", "cores", costs.speaking_cores, digits=3),
        *(
            row(f"{name}silent packets, process tree, {at_once}", "cores", cores, digits=3)
            for name, cores in silent.items()
        ),
        row("private memory per call", "MB", costs.private_mb),
        row("proportional memory per call", "MB", costs.proportional_mb),
    ]


async def measure_silent(trees: dict[str, Path]) -> dict[str, list[float]]:
    """Cores per call of each tree's server, its agents and all its other processes, one value a round;
    agents neither speak nor hear speech.
    """
    found: dict[str, list[float]] = {name: [] for name in trees}
    for _ in range(ROUNDS):
        for name, tree in trees.items():
            async with running_server(tree=tree) as server:
                found[name].append(await _silent_cores(server))
    return found


async def _silent_cores(server: Server) -> float:
    for number in range(CALLS):
        await server.start_agent(f"silent-{number}")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.silent_callers", server.url, "silent", str(CALLS)),
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(DEADLINE_S):
            if await process.stdout.readline() != b"connected\n":
                raise RuntimeError("the callers did not connect")
        await asyncio.sleep(SETTLE_S)
        tree, began_s = TreeCpu(server.pid), time.monotonic()
        await asyncio.sleep(WINDOW_S)
        cores = tree.spent_s() / (time.monotonic() - began_s) / CALLS
        lost, _ = await process.communicate(b"")
        if lost != b"0\n":
            raise RuntimeError("a call ended early")
        return cores
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


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

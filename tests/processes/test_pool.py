"""The warm pool with real processes."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from control.forkserver.started_process import ProcessSource, StartedProcess
from control.machine.memory import Memory
from control.supervisor.pool import RESERVED_AGENTS, ProcessPool
from control.supervisor.supervisor import Supervisor
from conversation.lifecycle import AgentState, ExitReason
from tests.processes.conftest import QUICK, agent_config, forkserver_source, is_gone, until

PLENTY = Memory(total_bytes=100, available_bytes=90)


@asynccontextmanager
async def pooled(
    size: int = 2, memory: list[Memory] | None = None, room: list[int] | None = None
) -> AsyncIterator[tuple[ProcessPool, Supervisor]]:
    """memory, room: the last element is what there is at the moment"""
    told = [PLENTY] if memory is None else memory
    rooms = [100] if room is None else room
    async with forkserver_source() as forkserver:
        pool = ProcessPool(forkserver, size, memory=lambda: told[-1], room=lambda: rooms[-1])
        supervisor = Supervisor(pool, QUICK)
        pool.start()
        try:
            yield pool, supervisor
        finally:
            await supervisor.drain()
            await pool.close()


@pytest.mark.asyncio
async def test_starts_take_idle_processes_which_are_replaced() -> None:
    async with pooled() as (pool, supervisor):
        await until(lambda: len(pool.idle_pids) == 2)
        before = pool.idle_pids
        first = await supervisor.start(agent_config("one"))
        second = await supervisor.start(agent_config("two"))
        assert [first.pid, second.pid] == before
        await until(lambda: len(pool.idle_pids) == 2)
        assert not set(before) & set(pool.idle_pids)
        assert (pool.statistics.taken, pool.statistics.missed) == (2, 0)
        left = pool.idle_pids
        await pool.close()
        assert all(is_gone(pid) for pid in left)
        assert supervisor.status("one").state is AgentState.READY


@pytest.mark.asyncio
async def test_more_starts_than_idle_processes_all_succeed() -> None:
    async with pooled() as (pool, supervisor):
        await until(lambda: len(pool.idle_pids) == 2)
        statuses = await asyncio.gather(
            *(supervisor.start(agent_config(f"c{n}")) for n in range(6))
        )
        assert len({status.pid for status in statuses}) == 6
        assert pool.statistics.taken + pool.statistics.missed == 6


@pytest.mark.asyncio
async def test_processes_that_die_while_idle_fail_no_start() -> None:
    async with pooled() as (pool, supervisor):
        await until(lambda: len(pool.idle_pids) == 2)
        dead = pool.idle_pids
        for pid in dead:
            os.kill(pid, signal.SIGKILL)
        status = await supervisor.start(agent_config())
        assert status.state is AgentState.READY
        assert status.pid not in dead
        await until(lambda: len(pool.idle_pids) == 2 and not set(dead) & set(pool.idle_pids))
        assert all(is_gone(pid) for pid in dead)


class DyingSource:
    """Its first processes are killed in the moment in which they are handed out."""

    def __init__(self, source: ProcessSource, deaths: int) -> None:
        self.pids: list[int] = []
        self._source = source
        self._deaths = deaths

    async def start_process(self) -> StartedProcess:
        process = await self._source.start_process()
        self.pids.append(process.pid)
        if len(self.pids) <= self._deaths:
            process.send_signal(signal.SIGKILL)
        return process


@pytest.mark.asyncio
@pytest.mark.parametrize("deaths", [1, 2])
async def test_a_process_that_dies_while_it_is_claimed_costs_a_retry(deaths: int) -> None:
    async with forkserver_source() as forkserver:
        source = DyingSource(forkserver, deaths)
        supervisor = Supervisor(source, QUICK)
        try:
            status = await supervisor.start(agent_config())
            assert (status.pid, status.restarts) == (source.pids[-1], 0)
            assert len(source.pids) == deaths + 1
            assert all(is_gone(pid) for pid in source.pids[:-1])
        finally:
            await supervisor.drain()


@pytest.mark.asyncio
async def test_a_stop_while_a_process_is_claimed_leaves_nothing() -> None:
    async with pooled(size=1) as (pool, supervisor):
        await until(lambda: len(pool.idle_pids) == 1)
        pid = pool.idle_pids[0]
        await supervisor.start(agent_config(script="never_ready"), should_wait=False)
        record = await supervisor.stop("demo")
        assert record.exit_reason is ExitReason.STOPPED
        assert record.pid in (None, pid)
        assert supervisor.list() == []
        if record.pid is not None:
            assert is_gone(pid)


@pytest.mark.asyncio
async def test_a_cancelled_fork_leaves_nothing() -> None:
    async with forkserver_source() as forkserver:
        before = set(os.listdir("/proc/self/fd"))
        starting = asyncio.get_running_loop().create_task(forkserver.start_process())
        await asyncio.sleep(0)
        starting.cancel()
        await asyncio.wait([starting])
        assert starting.cancelled()
        await forkserver.settle()
        assert set(os.listdir("/proc/self/fd")) <= before
        # The next start succeeds as before.
        process = await forkserver.start_process()
        process.sock.close()
        await until(process.exited.is_set)


@pytest.mark.asyncio
async def test_the_pool_shrinks_while_memory_is_short() -> None:
    memory = [PLENTY]
    async with pooled(size=2, memory=memory) as (pool, supervisor):
        await until(lambda: len(pool.idle_pids) == 2)
        pids = pool.idle_pids
        memory.append(Memory(total_bytes=100, available_bytes=5))
        await until(lambda: not pool.idle_pids and all(is_gone(pid) for pid in pids))
        assert (await supervisor.start(agent_config())).state is AgentState.READY
        memory.append(PLENTY)
        await until(lambda: len(pool.idle_pids) == 2)


@pytest.mark.asyncio
async def test_the_pool_leaves_the_last_processes_to_starts() -> None:
    room = [RESERVED_AGENTS]
    async with pooled(size=2, room=room) as (pool, supervisor):
        status = await supervisor.start(agent_config())
        assert status.state is AgentState.READY
        assert (pool.statistics.idle, pool.statistics.missed) == (0, 1)
        room.append(RESERVED_AGENTS + 1)
        await until(lambda: len(pool.idle_pids) == 2)


class RefusingSource:
    """Has no process to give."""

    def __init__(self) -> None:
        self.asked_s: list[float] = []

    async def start_process(self) -> StartedProcess:
        self.asked_s.append(asyncio.get_running_loop().time())
        raise OSError(errno.EAGAIN, "no process could be forked")


@pytest.mark.asyncio
async def test_a_pool_that_is_refused_pauses_ever_longer_whatever_starts_do() -> None:
    source = RefusingSource()
    pool = ProcessPool(source, 2, memory=lambda: PLENTY)
    pool.start()
    await until(lambda: source.asked_s)
    for _ in range(20):
        # A start asks for itself; that is no reason for the pool to try again.
        with pytest.raises(OSError, match="no process"):
            await pool.start_process()
        await asyncio.sleep(0.05)
    assert len(source.asked_s) == 1 + 20
    await pool.close()

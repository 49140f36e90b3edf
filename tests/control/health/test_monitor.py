"""Readings and findings of the monitor of one process, over a real link."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from control.health.monitor import HealthMonitor
from control.health.proc_stats import ProcStatsReader
from control.health.rules import MIB, Action, Finding, HealthLimits, ProcStats
from control.ipc.link import CHILD_MESSAGE, PARENT_MESSAGE, Link, LinkBrokenError, Ping, Pong
from conversation.lifecycle import ExitReason
from conversation.vitals import Vitals
from tests.processes.conftest import until

INTERVAL_S = 0.02


class Reader(ProcStatsReader):
    """Kernel statistics as the test sets them."""

    def __init__(self) -> None:
        super().__init__()
        self.stats: ProcStats | None = ProcStats(10 * MIB, 12 * MIB, 20, 1000)
        self.known: list[ProcStats | None] = []

    async def read(self, pid: int, known: ProcStats | None = None) -> ProcStats | None:
        self.known.append(known)
        return self.stats


class Scene:
    """A monitor, the child's end of its link, and what was found."""

    def __init__(self, limits: HealthLimits) -> None:
        self.reader = Reader()
        self.findings: list[Finding] = []
        self.monitor = HealthMonitor(
            "demo", 7, self.reader, limits, on_finding=self.findings.append
        )

    async def answer(self, child: Link[Any], lag_ms: float = 1.0) -> None:
        """Answer one ping, as the child's loop would."""
        ping = await child.receive()
        assert isinstance(ping, Ping)
        self.monitor.handle_pong(Pong(n=ping.n, loop_lag_ms=lag_ms, vitals=Vitals()))


@asynccontextmanager
async def monitored(limits: HealthLimits | None = None) -> AsyncIterator[tuple[Scene, Link[Any]]]:
    scene = Scene(limits or HealthLimits())
    ours, theirs = socket.socketpair()
    parent = await Link.open(ours, CHILD_MESSAGE)
    child: Link[Any] = await Link.open(theirs, PARENT_MESSAGE)
    running = asyncio.get_running_loop().create_task(scene.monitor.run(parent, INTERVAL_S))
    try:
        yield scene, child
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        parent.abort()
        child.abort()
        scene.reader.close()


@pytest.mark.asyncio
async def test_a_pong_is_the_latest_reading() -> None:
    async with monitored() as (scene, child):
        assert (scene.monitor.heartbeat_age_s, scene.monitor.vitals) == (None, None)
        await scene.answer(child, lag_ms=3.0)
        assert scene.monitor.loop_lag_ms == 3.0
        assert scene.monitor.vitals == Vitals()
        age_s = scene.monitor.heartbeat_age_s
        assert age_s is not None
        assert 0 <= age_s < 5
        await until(lambda: scene.monitor.proc_stats == scene.reader.stats)
        await until(lambda: len(scene.reader.known) > 1)
        assert scene.reader.known[0] is None, "the first reading is complete"
        assert scene.reader.known[1] == scene.reader.stats, "later ones reuse it"


@pytest.mark.asyncio
async def test_lost_statistics_keep_the_last_ones() -> None:
    async with monitored() as (scene, _):
        await until(lambda: scene.monitor.proc_stats is not None)
        last, scene.reader.stats = scene.monitor.proc_stats, None
        count = len(scene.reader.known)
        await until(lambda: len(scene.reader.known) > count + 1)
        assert scene.monitor.proc_stats is last


@pytest.mark.asyncio
async def test_too_much_memory_is_found_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    async with monitored(HealthLimits(memory_bytes=4 * MIB)) as (scene, child):
        await scene.answer(child)
        await until(lambda: scene.findings)
        finding = scene.findings[0]
        assert (finding.sign, finding.action) == ("memory", Action.RESTART)
        assert finding.exit_reason is ExitReason.OUT_OF_MEMORY
        assert "demo: it uses 10 MiB of private memory" in caplog.text


@pytest.mark.asyncio
async def test_time_in_which_this_loop_was_stalled_is_no_silence_of_the_child() -> None:
    async with monitored() as (scene, child):
        await scene.answer(child)
        time.sleep(1.0)  # noqa: ASYNC251 - the stall
        await asyncio.sleep(2 * INTERVAL_S)
        age_s = scene.monitor.heartbeat_age_s
        assert age_s is not None
        assert age_s < 0.9


@pytest.mark.asyncio
async def test_a_link_that_is_not_read_ends_the_monitor_with_a_restart() -> None:
    class UnreadLink:
        def send(self, message: object) -> None:
            raise LinkBrokenError("5 bytes wait")

    scene = Scene(HealthLimits())
    unread: Any = UnreadLink()
    await scene.monitor.run(unread, INTERVAL_S)
    scene.reader.close()
    (finding,) = scene.findings
    assert (finding.action, finding.exit_reason) == (Action.RESTART, ExitReason.UNRESPONSIVE)
    assert "5 bytes wait" in finding.text

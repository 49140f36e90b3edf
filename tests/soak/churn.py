"""Start, talk, interrupt, stop: a server in its own process, call after call, and what it takes."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import psutil  # type: ignore[import-untyped]

from control.child.entry import DEFAULT_ENTRY
from control.supervisor.stop_sequence import DEFAULT_DEADLINES
from rtc.engine import RtcEngine
from rtc.options import RtcOptions
from tests.deadlines import DEADLINE_S
from tests.fakes.openai_realtime import FakeRealtimeServer, FakeSession, tone
from tests.loopback.stage import Person
from tests.processes.conftest import ServerProcess, server_process, until
from tests.processes.test_real_agent import START, settings

KILL_EVERY = 10
"""Calls of which one loses its agent's process in the middle."""

MIB = 1024 * 1024


@dataclass(frozen=True)
class Sample:
    """What a server takes between two calls: itself, its forkserver and the idle processes."""

    private_mib: float
    descriptors: int
    processes: int

    @classmethod
    def of(cls, server: ServerProcess) -> Sample:
        """Read from outside."""
        family = [psutil.Process(server.process.pid), *server.descendants()]
        return cls(
            private_mib=sum(_written_bytes(one.pid) for one in family) / MIB,
            descriptors=sum(one.num_fds() for one in family),
            processes=len(family),
        )


def _written_bytes(pid: int) -> int:
    """Private memory but for unchanged pages of files: those are private only as long as nobody else
    on this machine happens to have the same library open, and may go at any time.
    """
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return 1024 * sum(int(line.split()[1]) for line in lines if line.startswith("Private_Dirty:"))


@dataclass
class Churn:
    """Calls one after the other, with a sample after each."""

    server: ServerProcess
    provider: FakeRealtimeServer
    samples: list[Sample] = field(default_factory=list)
    heard_ms: float = 0.0
    kills: int = 0

    async def call(self) -> None:
        """One call: a reply is heard, another one interrupted; sometimes the process dies."""
        status, answer = await self.server.post("/start_agent", START)
        assert status == 200, answer
        options = RtcOptions(channel_name="demo", uid=7, role="user")
        person = Person(RtcEngine(self.server.url).create_channel(options))
        session = await self.provider.next_session()
        try:
            await person.join()
            await self._talk(person, session)
            if len(self.samples) % KILL_EVERY == KILL_EVERY - 1:
                await self._kill(person)
        finally:
            await person.leave()
            self.provider.sessions.clear()
        status, answer = await self.server.post("/stop_agent", {"channel_name": "demo"})
        assert (status, answer["exit_reason"]) == (200, "stopped"), answer
        self.heard_ms += person.loud_ms
        self.samples.append(await self._settled())

    async def _talk(self, person: Person, session: FakeSession) -> None:
        await session.say(tone(300), "short")
        await person.wait_event("agent_playout_done")
        async with asyncio.TaskGroup() as group:
            group.create_task(session.say(tone(20_000), "a long story", pace=0.5))
            await person.wait_loud(500)
            status, answer = await self.server.post("/agents/demo/interrupt", {})
            assert (status, answer["was_speaking"]) == (200, True), answer
            await person.wait_event("agent_interrupted")

    async def _kill(self, person: Person) -> None:
        """The next process takes over, and is heard."""
        self.kills += 1
        before_ms = person.loud_ms
        shown = (await self.server.get("/agents/demo"))[1]
        os.kill(shown["pid"], signal.SIGKILL)
        session = await self.provider.next_session()
        await person.wait_ready_agents(2)
        await session.say(tone(300), "back again")
        await person.wait_loud(before_ms + 200)

    async def _settled(self) -> Sample:
        """Once the pool is full again, for it forks in the background."""
        usual = self.samples[0].processes if self.samples else 0
        await until(lambda: 1 + len(self.server.descendants()) >= usual, DEADLINE_S)
        return Sample.of(self.server)


@asynccontextmanager
async def churning(folder: Path) -> AsyncIterator[Churn]:
    """A server with one warm process and a scripted provider."""
    async with FakeRealtimeServer() as provider:
        wanted = settings(provider.uri) | {"warm_processes": 1}
        with server_process(folder, wanted, DEFAULT_ENTRY, DEFAULT_DEADLINES) as server:
            churn = Churn(server, provider)
            yield churn
            server.signal(signal.SIGTERM)
            assert await asyncio.to_thread(server.wait) == 0


def typical(samples: list[Sample], figure: Callable[[Sample], float]) -> float:
    """The median of a figure."""
    return median(figure(sample) for sample in samples)

"""A whole server with a call in it, and what it looks like from outside: API, store, stream, /proc."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import psutil  # type: ignore[import-untyped]

from control.supervisor.stop_sequence import Deadlines
from rtc.engine import RtcEngine
from rtc.options import RtcOptions
from tests.control.sse import Told, listening
from tests.deadlines import DEADLINE_S
from tests.fakes.openai_realtime import FakeRealtimeServer, FakeSession, tone
from tests.loopback.stage import Person
from tests.processes.conftest import ServerProcess, all_gone, server_aside, until
from tests.processes.test_real_agent import START, settings
from tests.soak.churn import Sample

ENTRY = "tests.chaos.faulty_agent:FaultyAgent"
# Patient where a case is over earlier unless the machine is slow.
DEADLINES = Deadlines(
    start_s=25.0, ask_s=6.0, terminate_s=0.3, dump_s=0.3, kill_s=20.0, ping_interval_s=0.2
)
UNRESPONSIVE_S = 3.0
MEMORY_LIMIT_MIB = 80
MAX_TOKENS = 30
REPLY_MS = 400
GOODBYE = "Goodbye."
LIMITED: dict[str, Any] = {"max_tokens": MAX_TOKENS, "goodbye": GOODBYE}
"""A call that ends with its first reply, and not without a word."""
DESCRIPTORS = 400

BEFORE_READY = ("starting", "joining", "connecting")
IN_CALL = ("ready", "running", "server_drains")
STATES = (*BEFORE_READY, *IN_CALL, "draining", "stopping")
"""`server_drains`: running, while the server waits for its calls to end; `draining`: the agent says
goodbye because a limit of the call is reached.
"""

Shown = dict[str, Any]


@dataclass
class Scene:
    """The server, the model's side and a person in the room. call_id: set once the agent exists."""

    server: ServerProcess
    provider: FakeRealtimeServer
    before: Sample
    person: Person | None = None
    call_id: str = ""
    stream: list[Told] = field(default_factory=list)

    async def shown(self) -> Shown:
        """Return the agent's status from the API."""
        return (await self.server.get("/agents/demo"))[1]

    async def wait_shown(self, condition: Callable[[Shown], object]) -> Shown:
        """Return the agent's status once it satisfies the condition."""
        shown: Shown = {}
        try:
            async with asyncio.timeout(DEADLINE_S):
                while not condition(shown := await self.shown()):  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise AssertionError(f"still {shown}") from None
        return shown

    async def wait_ready_again(self) -> None:
        """Until the server can start agents, were it not for a drain."""
        async with asyncio.timeout(DEADLINE_S):
            while True:
                _, told = await self.server.get("/readyz")
                if all("drain" in problem for problem in told["problems"]):
                    return
                await asyncio.sleep(0.05)

    async def start(self, words: str, **more: Any) -> tuple[int, dict[str, Any]]:
        """Return the answer to a start of an agent with this fault."""
        return await self.server.post("/start_agent", START | {"system_message": words} | more)

    async def join(self) -> Person:
        """Let a person join the room."""
        options = RtcOptions(channel_name="demo", uid=7, role="user")
        self.person = Person(RtcEngine(self.server.url).create_channel(options))
        await self.person.join()
        return self.person

    async def wait_held(self, state: str) -> Shown:
        """The agent, once its process is held in this state and listens to signals."""
        return await self.wait_shown(
            lambda one: (
                one.get("state") == state and one["pid"] and one["heartbeat_age_s"] is not None
            )
        )

    async def wait_goodbye(self, session: FakeSession) -> Shown:
        """The agent, once a reply has spent its budget and it has asked for its goodbye."""
        await self.is_heard_again(session, is_new_process=False)
        request = await session.wait_for("response.create")
        assert GOODBYE in request["response"]["instructions"]
        return await self.wait_shown(lambda one: one["state"] == "draining")

    async def is_heard_again(self, session: FakeSession, *, is_new_process: bool) -> None:
        """The caller hears the model again without any action of its own."""
        person = self.person
        assert person is not None
        if is_new_process:
            await person.wait_ready_agents(2)
        before_ms = person.loud_ms
        await session.say(tone(REPLY_MS), "still here")
        await until(lambda: person.loud_ms >= before_ms + 250, DEADLINE_S)

    def signal_agent(self, pid: int, number: signal.Signals) -> None:
        """Send a signal to the agent's process."""
        os.kill(pid, number)

    async def stored(self) -> dict[str, Any]:
        """Return the call's record once it has the end of the call."""
        async with asyncio.timeout(DEADLINE_S):
            while True:
                status, record = await self.server.get(f"/calls/{self.call_id}")
                if status == 200 and record["ended_at_ms"] is not None:
                    return record
                await asyncio.sleep(0.05)

    async def listen(self, last_event_id: str = "0") -> list[Told]:
        """Return the whole stream of a call that is over."""
        async with (
            aiohttp.ClientSession(self.server.url) as http,
            listening(http, "/agents/demo/events", last_event_id) as reader,
        ):
            return await reader.rest()

    async def nothing_left(self) -> None:
        """The server uses no more resources than before the call, and exits on SIGINT."""
        if self.person is not None:
            await self.person.leave()
            self.person = None
        await until(lambda: len(self.server.descendants()) + 1 == self.before.processes, DEADLINE_S)
        await until(
            lambda: Sample.of(self.server).descriptors <= self.before.descriptors + 2, DEADLINE_S
        )
        family = self.server.descendants()
        self.server.signal(signal.SIGINT)
        assert await asyncio.to_thread(self.server.wait) == 0
        await until(lambda: all_gone(family), DEADLINE_S)


@asynccontextmanager
async def scene(
    folder: Path, provider: FakeRealtimeServer, deadlines: Deadlines = DEADLINES, **more: Any
) -> AsyncIterator[Scene]:
    """Run a server with short limits."""
    wanted = settings(provider.uri) | {
        "agent_unresponsive_s": UNRESPONSIVE_S,
        "agent_memory_limit_mib": MEMORY_LIMIT_MIB,
        "requests_per_s_per_address": 1_000,
        **more,
    }
    async with server_aside(folder, wanted, ENTRY, deadlines) as server:
        for one in (psutil.Process(server.process.pid), *server.descendants()):
            one.rlimit(resource.RLIMIT_NOFILE, (DESCRIPTORS, DESCRIPTORS))
        # The first question opens what the server needs for questions.
        await server.get("/calls")
        made = Scene(server, provider, Sample.of(server))
        try:
            yield made
        finally:
            if made.person is not None:
                await made.person.leave()

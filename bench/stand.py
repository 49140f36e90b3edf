"""The test stand: the real control server as a process, a scripted model, a caller in this process."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from load.sounds import is_loud
from rtc.channel import Channel
from rtc.engine import RtcEngine
from rtc.options import RtcOptions
from tests.fakes.openai_realtime import FakeRealtimeServer, FakeSession

ROOT = Path(__file__).parent.parent
AGENT_UID = 1000
DEADLINE_S = 20.0
START_DEADLINE_S = 60.0


async def first_voice_s(session: FakeSession, *, since: int = 0) -> float:
    """Return the monotonic time of the first loud piece at the model's socket after so many messages."""
    while True:
        for stamped in session.received[since:]:
            audio = stamped.frame.get("audio")
            if audio is not None and is_loud(base64.b64decode(audio)):
                return stamped.at_s
        since = len(session.received)
        count = len(session.all_of("input_audio_buffer.append"))
        await session.wait_for("input_audio_buffer.append", count + 1)


class RequestRefusedError(RuntimeError):
    """The server answered a control request with an error."""

    def __init__(self, text: str, status: int) -> None:
        super().__init__(text)
        self.status = status


@dataclass
class Server:
    """A running control server and the model its agents talk to."""

    url: str
    pid: int
    http: aiohttp.ClientSession
    model: FakeRealtimeServer

    async def post(self, route: str, **body: Any) -> dict[str, Any]:
        """One control request; failures raise with the server's own words."""
        async with self.http.post(f"{self.url}{route}", json=body) as answer:
            data: dict[str, Any] = await answer.json()
            if answer.status != 200:
                raise RequestRefusedError(f"{route}: {answer.status} {data}", answer.status)
            return data

    async def start_agent(self, channel_name: str) -> tuple[FakeSession, dict[str, Any]]:
        """Start an agent; returns the model's side of it and the server's answer."""
        answer = await self.post("/start_agent", channel_name=channel_name, uid=AGENT_UID)
        return await self.model.next_session(), answer

    async def agents(self) -> list[dict[str, Any]]:
        """Return the server's list of agents."""
        async with self.http.get(f"{self.url}/agents") as answer:
            agents: list[dict[str, Any]] = (await answer.json())["agents"]
            return agents


@contextlib.asynccontextmanager
async def running_server(
    *,
    is_local: bool = False,
    scripted: FakeRealtimeServer | None = None,
    tree: Path = ROOT,
    **settings: str,
) -> AsyncIterator[Server]:
    """Start the server as its users do; stop it at the end.

    is_local: agents use the local model, and the server is ready when that is.
    scripted: the model's side, if not the ordinary one
    tree: the project's working tree whose server is run
    settings: further variables of its environment
    """
    async with contextlib.AsyncExitStack() as stack:
        model = await stack.enter_async_context(scripted or FakeRealtimeServer())
        http = await stack.enter_async_context(aiohttp.ClientSession())
        environ = {
            "DATA_DIR": stack.enter_context(tempfile.TemporaryDirectory(prefix="parley-bench-")),
            "PATH": os.environ["PATH"],
            "PARLEY_ENV_FILE": "",
            "LOG_LEVEL": "ERROR",
            "MODEL_PROVIDER": "local" if is_local else "openai",
            "OPENAI_API_KEY": "sk-bench",
            "REALTIME_API_BASE_URI": model.uri,
            "LOCAL_MODEL_URI": "" if is_local else model.uri,
            **settings,
        }
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "main", "server", "--port", "0"),
            cwd=tree,
            env=environ,
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            assert process.stdout is not None
            async with asyncio.timeout(START_DEADLINE_S):
                line = (await process.stdout.readline()).decode()
            server = Server(line.split()[-1], process.pid, http, model)
            await _wait_ready(server)
            yield server
        finally:
            process.terminate()
            async with asyncio.timeout(DEADLINE_S):
                await process.wait()


async def end_process(process: asyncio.subprocess.Process) -> None:
    """Terminate it, and kill it if it does not end."""
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(DEADLINE_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


async def _wait_ready(server: Server) -> None:
    async with asyncio.timeout(START_DEADLINE_S):
        while True:
            async with server.http.get(f"{server.url}/readyz") as answer:
                if answer.status == 200:
                    return
            await asyncio.sleep(0.1)


@dataclass
class LoudFrames:
    """When each loud frame arrived at a caller (monotonic seconds)."""

    loud_at_s: list[float] = field(default_factory=list)
    news: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def add(self, at_s: float) -> None:
        """Note the arrival of a loud frame."""
        async with self.news:
            self.loud_at_s.append(at_s)
            self.news.notify_all()

    async def wait_loud(self, count: int) -> None:
        """Until this many loud frames arrived."""
        async with asyncio.timeout(DEADLINE_S), self.news:
            await self.news.wait_for(lambda: len(self.loud_at_s) >= count)

    async def wait_quiet(self, quiet_s: float = 0.3) -> None:
        """Until nothing loud arrived for this long."""
        while True:
            since_s = time.monotonic() - (self.loud_at_s[-1] if self.loud_at_s else 0)
            if since_s >= quiet_s:
                return
            await asyncio.sleep(quiet_s - since_s)


@dataclass
class Caller(LoudFrames):
    """A person in the room, in this process."""

    channel: Channel = field(kw_only=True)

    async def listen(self) -> None:
        """Hear the agent until cancelled."""
        await self.channel.subscribe_audio(AGENT_UID)
        async for frame in self.channel.get_audio_frames(AGENT_UID):
            if is_loud(frame.pcm):
                await self.add(frame.received_at)


@contextlib.asynccontextmanager
async def calling(server: Server, channel_name: str) -> AsyncIterator[Caller]:
    """Join as a person, with media up."""
    options = RtcOptions(channel_name=channel_name, role="user")
    channel = RtcEngine(server.url).create_channel(options)
    connected = asyncio.Event()
    channel.on("user_connected", lambda _uid: connected.set())
    await channel.connect()
    try:
        async with asyncio.timeout(DEADLINE_S):
            await connected.wait()
        caller = Caller(channel=channel)
        listening = asyncio.get_running_loop().create_task(caller.listen())
        try:
            yield caller
        finally:
            listening.cancel()
            await asyncio.wait([listening])
    finally:
        await channel.disconnect()

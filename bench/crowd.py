"""Many calls at once: which frames are late, and where the processors' time goes.

`CROWD_CALLS` (40) agents for `CROWD_S` (40) seconds; users and agents talk in turns of 5 s, half of
each at any time. The load comes from processes of their own (`crowd_callers`), the model's side from
this one, which reads no more than the length of what it gets. A frame is late when it comes more
than 20 ms later, against its stream's own time, than the quickest one of the whole run; one that
never comes counts as late; a stream that had no frame at all is counted apart. Everybody has a turn
only from 10 s on.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Final

from aiohttp import web

from bench.crowd_callers import TURN_S, is_users_turn
from bench.figures import row
from bench.lateness import Lateness, late_percents
from bench.processes import cpu_s, memory_mb
from bench.speech import RATE_HZ, talk
from bench.stand import ROOT, Server, running_server
from tests.fakes.openai_realtime import FakeRealtimeServer, FakeSession, Faults
from tests.fakes.openai_vocabulary import Vocabulary

CALLS: Final = int(os.environ.get("CROWD_CALLS", "40"))
LENGTH_S: Final = float(os.environ.get("CROWD_S", "40"))
CALLERS_A_PROCESS: Final = 10
_LEAD_S: Final = 3.0
_REPLY_S: Final = TURN_S - 0.5
_APPEND: Final = '{"type":"input_audio_buffer.append","audio":"'
_BYTES_PER_S: Final = RATE_HZ * 2


class LeanSession(FakeSession):
    """Takes the user's audio for its length, without a look inside."""

    def __init__(
        self, socket: web.WebSocketResponse, model: str, faults: Faults, vocabulary: Vocabulary
    ) -> None:
        super().__init__(socket, model, faults, vocabulary)
        self.heard = Lateness()
        self.is_measuring = False
        self._stream_s = 0.0

    async def _handle(self, text: str) -> None:
        if not text.startswith(_APPEND):
            await super()._handle(text)
            return
        length_s = (len(text) - len(_APPEND) - len('"}')) * 3 // 4 / _BYTES_PER_S
        self._stream_s += length_s
        if self.is_measuring:
            self.heard.add(self._stream_s, time.monotonic(), frames=round(length_s * 50))


class LeanModel(FakeRealtimeServer):
    """A model's side that costs little."""

    def _create_session(
        self, socket: web.WebSocketResponse, model: str, vocabulary: Vocabulary
    ) -> LeanSession:
        return LeanSession(socket, model, self.faults, vocabulary)


@dataclass(frozen=True)
class Crowd:
    """What a run found. Callers as they told it; cores: processor seconds per second."""

    callers: list[dict[str, Any]]
    sessions: list[LeanSession]
    agent_cores: list[float]
    server_cores: float
    bench_cores: float
    private_mb: list[float]


async def rows() -> list[str]:
    """Every figure of this part."""
    crowd = await measure_crowd(CALLS)
    heard = [Lateness(**one) for found in crowd.callers for one in found["heard"]]
    sent = [Lateness(**one) for found in crowd.callers for one in found["sent"]]
    appended = [session.heard for session in crowd.sessions]
    load = [found["cores"] for found in crowd.callers]
    name = f"{CALLS} calls"
    return [
        row(f"{name}: frames late at the callers", "%", late_percents(heard), digits=2),
        row(f"{name}: frames late at the model", "%", late_percents(appended), digits=2),
        row(f"{name}: frames our callers sent late", "%", late_percents(sent), digits=2),
        _total(f"{name}: late of all frames", [*heard, *appended]),
        row(f"{name}: streams without a frame", "streams", [_without_frames(heard, appended)]),
        row(f"{name}: calls that ended early", "calls", [sum(c["lost"] for c in crowd.callers)]),
        row(f"{name}: cores per agent", "cores", crowd.agent_cores, digits=3),
        row(f"{name}: cores of all agents", "cores", [sum(crowd.agent_cores)], digits=2),
        row(f"{name}: cores of the server", "cores", [crowd.server_cores], digits=2),
        row(f"{name}: cores of callers and model", "cores", [sum(load) + crowd.bench_cores]),
        row(f"{name}: private memory", "MB", crowd.private_mb),
    ]


def _total(name: str, streams: list[Lateness]) -> str:
    late, frames = sum(one.late for one in streams), sum(one.frames for one in streams)
    return row(name, "%", [100 * late / frames] if frames else [], digits=2)


def _without_frames(*kinds: list[Lateness]) -> int:
    """Streams that should have had frames, since everybody had a turn: a call that was silent."""
    return sum(each.frames == 0 for streams in kinds for each in streams)


async def measure_crowd(calls: int) -> Crowd:
    """Start agents, have them called, let everybody talk."""
    merge_pages = os.environ.get("MERGE_PAGES", "")
    async with (
        running_server(
            scripted=LeanModel(),
            DRAIN_DEADLINE_S="0",
            LOG_LEVEL="WARNING",
            MERGE_PAGES=merge_pages,
        ) as server,
        contextlib.AsyncExitStack() as stack,
    ):
        sessions: list[LeanSession] = []
        processes: list[asyncio.subprocess.Process] = []
        # Group by group: an agent that nobody calls leaves after half a minute.
        for first in range(0, calls, CALLERS_A_PROCESS):
            numbers = range(first, min(first + CALLERS_A_PROCESS, calls))
            for number in numbers:
                session, _ = await server.start_agent(f"crowd-{number}")
                assert isinstance(session, LeanSession)
                sessions.append(session)
            processes.append(await stack.enter_async_context(_callers(server, numbers)))
        return await _measure(server, sessions, processes)


async def _measure(
    server: Server, sessions: list[LeanSession], processes: list[asyncio.subprocess.Process]
) -> Crowd:
    begin_s = time.monotonic() + _LEAD_S
    for process in processes:
        await _tell(process, f"{begin_s} {begin_s + LENGTH_S}\n")
    await asyncio.sleep(_LEAD_S)
    pids = [agent["pid"] for agent in await server.agents()]
    before = [cpu_s(pid) for pid in (server.pid, *pids)]
    own_s = time.process_time()
    await _talk(sessions, begin_s, begin_s + LENGTH_S)
    took_s = time.monotonic() - begin_s
    spent = [
        (cpu_s(pid) - earlier) / took_s
        for pid, earlier in zip((server.pid, *pids), before, strict=True)
    ]
    own_cores = (time.process_time() - own_s) / took_s
    found = [json.loads(await _read_line(process)) for process in processes]
    memory = [memory_mb(pid)[0] for pid in pids]
    return Crowd(found, sessions, spent[1:], spent[0], own_cores, memory)


async def _talk(sessions: list[LeanSession], begin_s: float, end_s: float) -> None:
    speech = talk(_REPLY_S)
    for session in sessions:
        session.is_measuring = True
    async with asyncio.TaskGroup() as group:
        for turn in range(math.ceil((end_s - begin_s) / TURN_S)):
            await asyncio.sleep(max(0.0, begin_s + turn * TURN_S + 0.3 - time.monotonic()))
            for number, session in enumerate(sessions):
                if not is_users_turn(number, turn * TURN_S):
                    session.sent.clear()
                    group.create_task(session.say(speech, "talk", pace=0.5))
                    await asyncio.sleep(0.01)
        await asyncio.sleep(max(0.0, end_s - time.monotonic()))
    for session in sessions:
        session.is_measuring = False


@contextlib.asynccontextmanager
async def _callers(server: Server, numbers: range) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process with these callers, connected."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.crowd_callers"),
        *(server.url, str(numbers.start), str(len(numbers))),
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        if await _read_line(process) != b"connected\n":
            raise RuntimeError("the callers did not connect")
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _tell(process: asyncio.subprocess.Process, line: str) -> None:
    assert process.stdin is not None
    process.stdin.write(line.encode())
    await process.stdin.drain()


async def _read_line(process: asyncio.subprocess.Process) -> bytes:
    assert process.stdout is not None
    async with asyncio.timeout(60):
        return await process.stdout.readline()

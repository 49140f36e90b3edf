"""Real processes: a forkserver for all tests of this folder, and whole servers to be killed."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import psutil  # type: ignore[import-untyped]
import pytest

from config.agent import AgentConfig
from config.providers import ProviderConfig
from control.forkserver.forkserver import Forkserver
from control.forkserver.process import ForkserverProcess
from control.forkserver.run import ForkserverRun
from control.ipc.link import ChildMessage, Event
from control.machine.prctl import adopt_orphans
from control.observers import CallObserver
from control.placement import ExitRecord
from control.supervisor.stop_sequence import Deadlines
from control.supervisor.supervisor import Supervisor
from conversation.events.server_events import ServerEvent
from tests.deadlines import DEADLINE_S

SCRIPTED = "tests.processes.scripted_agent:ScriptedAgent"
ROOT = Path(__file__).resolve().parents[2]
QUICK = Deadlines(
    start_s=20.0, ask_s=5.0, terminate_s=5.0, dump_s=1.0, kill_s=10.0, ping_interval_s=0.1
)
# For agents that do not listen anyway.
HASTY = dataclasses.replace(QUICK, ask_s=0.5, terminate_s=0.3)


class SharedRun(ForkserverRun):
    """Use of a forkserver's process that outlives it."""

    async def close(self) -> None:
        self.release()


class SharedForkserver(Forkserver):
    """A source of processes for one test; the forkserver's own process stays for the next ones."""

    server: ForkserverProcess

    def _launch(self) -> ForkserverRun:
        return SharedRun(self.server)


@pytest.fixture(scope="session", autouse=True)
def forkserver() -> Iterator[None]:
    """It lives as long as this process; the instruments of each test take it as given."""

    async def wait_ready() -> None:
        async with forkserver_source():
            pass

    SharedForkserver.server = ForkserverProcess.launch()
    asyncio.run(wait_ready())
    yield
    SharedForkserver.server.kill()


@asynccontextmanager
async def forkserver_source(entry: str = SCRIPTED) -> AsyncIterator[Forkserver]:
    source = SharedForkserver(entry)
    await source.start()
    try:
        yield source
    finally:
        await source.stop()
        # Orphans of servers that other tests killed are not this process's to reap.
        adopt_orphans(is_enabled=False)


def agent_config(channel_name: str = "demo", script: str = "ready", **more: Any) -> AgentConfig:
    provider = ProviderConfig(name="local", model="local", base_uri="ws://127.0.0.1:9")
    return AgentConfig(
        agent_id=f"id-{channel_name}",
        channel_name=channel_name,
        uid=1000,
        room_url="http://127.0.0.1:9",
        provider=provider,
        greeting=script,
        **more,
    )


class Observing(CallObserver):
    """Record events of agents and ends of their processes."""

    def __init__(self, on_exit: Callable[[ExitRecord], None] | None) -> None:
        self.events: list[tuple[str, ServerEvent]] = []
        self._on_exit = on_exit

    def handle_message(self, config: AgentConfig, message: ChildMessage) -> None:
        if isinstance(message, Event):
            self.events.append((config.channel_name, message.event))

    def handle_exit(self, record: ExitRecord) -> None:
        if self._on_exit is not None:
            self._on_exit(record)


@asynccontextmanager
async def supervised(
    deadlines: Deadlines = QUICK,
    entry: str = SCRIPTED,
    on_exit: Callable[[ExitRecord], None] | None = None,
    observers: Sequence[CallObserver] = (),
    **options: Any,
) -> AsyncIterator[Supervisor]:
    observers = (Observing(on_exit), *observers)
    async with forkserver_source(entry) as source:
        supervisor = Supervisor(source, deadlines, observers=observers, **options)
        try:
            yield supervisor
        finally:
            await supervisor.drain()


def is_gone(pid: int | None) -> bool:
    """Not even a zombie is left of `pid`."""
    return pid is not None and not psutil.pid_exists(pid)


async def until(condition: Callable[[], object], deadline_s: float = DEADLINE_S) -> None:
    """Wait for something observable."""
    async with asyncio.timeout(deadline_s):
        while True:
            if condition():
                return
            await asyncio.sleep(0.01)


class ServerProcess:
    """A control server in a process of its own, with its log and its descendants."""

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        self.process = process
        self.log = log
        self.url = ""

    def wait_ready(self) -> None:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line.startswith("Parley is ready: http://127.0.0.1:"), self.log.read_text()
        self.url = line.split()[-1]

    def descendants(self) -> list[psutil.Process]:
        found: list[psutil.Process] = psutil.Process(self.process.pid).children(recursive=True)
        return found

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait(self) -> int:
        return self.process.wait(DEADLINE_S)

    async def post(self, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        async with aiohttp.ClientSession(self.url) as http, http.post(path, json=body) as response:
            return response.status, await response.json()

    async def delete(self, path: str) -> tuple[int, dict[str, Any]]:
        async with aiohttp.ClientSession(self.url) as http, http.delete(path) as response:
            return response.status, await response.json()

    async def get(self, path: str) -> tuple[int, dict[str, Any]]:
        async with aiohttp.ClientSession(self.url) as http, http.get(path) as response:
            return response.status, await response.json()


def all_gone(processes: list[psutil.Process]) -> bool:
    return not any(one.is_running() and one.status() != "zombie" for one in processes if _is(one))


def _is(process: psutil.Process) -> bool:
    try:
        process.status()
    except psutil.NoSuchProcess:
        return False
    return True


@contextmanager
def server_process(
    tmp_path: Path,
    settings: dict[str, Any] | None = None,
    entry: str = SCRIPTED,
    deadlines: Deadlines = QUICK,
    port: int = 0,
    error_output: int | None = None,
    *,
    should_reload: bool = False,
    warm_processes: int = 0,
) -> Iterator[ServerProcess]:
    """error_output: a descriptor to log to, rather than to `server.log`"""
    # Without a warm pool each process can be identified; no start is refused for the load that other
    # programs cause.
    usual = {
        "warm_processes": warm_processes,
        "drain_deadline_s": 0,
        "max_cpu_percent": 100,
        "data_dir": str(tmp_path / "data"),
    }
    wanted = {
        "settings": usual
        | ({"local_model_uri": "ws://127.0.0.1:9"} if settings is None else settings),
        "agent_entry": entry,
        "port": port,
        "should_reload": should_reload,
        "deadlines": dataclasses.asdict(deadlines),
    }
    log = tmp_path / "server.log"
    with log.open("w") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.processes.serve", json.dumps(wanted)],
            stdout=subprocess.PIPE,
            stderr=stderr if error_output is None else error_output,
            text=True,
            cwd=ROOT,
            env=os.environ | {"OPENAI_API_KEY": "sk-must-not-leak"},
        )
    server = ServerProcess(process, log)
    try:
        server.wait_ready()
        yield server
    finally:
        _end(server)


@asynccontextmanager
async def server_aside(*arguments: Any, **options: Any) -> AsyncIterator[ServerProcess]:
    """As `server_process`, for a test in which something goes on while a server starts or ends."""
    server = server_process(*arguments, **options)
    made = await asyncio.to_thread(server.__enter__)
    try:
        yield made
    finally:
        await asyncio.to_thread(server.__exit__, None, None, None)


def _end(server: ServerProcess) -> None:
    """Kill the server and its descendants, however the test ended."""
    left = [] if server.process.poll() is not None else server.descendants()
    server.process.kill()
    server.process.wait(DEADLINE_S)
    assert server.process.stdout is not None
    server.process.stdout.close()
    deadline_s = time.monotonic() + DEADLINE_S
    while not all_gone(left) and time.monotonic() < deadline_s:
        time.sleep(0.02)
    for process in left:
        if process.is_running():
            process.kill()

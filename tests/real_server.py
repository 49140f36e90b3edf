"""`python -m main server` as a user runs it: its own process, with the local model."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import signal
import sys
import tempfile
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from utils import OwnedTasks

ROOT = Path(__file__).resolve().parents[1]
READY_S = 60.0
STOP_S = 20.0
_SHOWN_PIECES = 200
_KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "VIRTUAL_ENV")


@dataclass
class RealServer:
    """A running control server."""

    url: str
    process: asyncio.subprocess.Process

    async def get(self, path: str) -> tuple[int, Any]:
        """Status and JSON of a route."""
        async with aiohttp.ClientSession() as http, http.get(self.url + path) as response:
            return response.status, await response.json()

    async def agent_pid(self, channel: str) -> int:
        """The process of the channel's agent."""
        _, body = await self.get("agents")
        return next(int(one["pid"]) for one in body["agents"] if one["channel_name"] == channel)


@asynccontextmanager
async def open_real_server(**environment: str) -> AsyncIterator[RealServer]:
    """Start it on a free port, wait until it and its model are ready, stop it as Ctrl-C would."""
    inherited = {name: os.environ[name] for name in _KEPT if name in os.environ}
    with tempfile.TemporaryDirectory(prefix="parley-data-") as data_dir:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "main", "server", "--port", "0"),
            cwd=ROOT,
            env={"DATA_DIR": data_dir, "PARLEY_ENV_FILE": "", **inherited, **environment},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        async with _running(process) as server:
            yield server


@asynccontextmanager
async def _running(process: asyncio.subprocess.Process) -> AsyncIterator[RealServer]:
    assert process.stdout is not None
    tasks = OwnedTasks(logging.getLogger("real server"))
    said: deque[str] = deque(maxlen=_SHOWN_PIECES)
    try:
        url = await _read_url(process.stdout, said)
        tasks.start(_drain(process.stdout, said), name="server output")
        server = RealServer(url, process)
        await _wait_until_ready(server)
        yield server
    except Exception as error:
        # What failed may be seen in no other place: its data directory is gone by then.
        error.add_note("the server said:\n" + "".join(said))
        raise
    finally:
        await _stop(process)
        await tasks.close()


async def _read_url(output: asyncio.StreamReader, said: deque[str]) -> str:
    async with asyncio.timeout(READY_S):
        while line := (await output.readline()).decode():
            said.append(line)
            if (found := re.search(r"http://127\.0\.0\.1:\d+", line)) is not None:
                return found.group() + "/"
    raise AssertionError("the server said no address")


async def _drain(output: asyncio.StreamReader, said: deque[str]) -> None:
    # Not by lines: one that is too long would end this, and a full pipe stops the server.
    while piece := await output.read(65_536):
        said.append(piece.decode(errors="replace"))


async def _wait_until_ready(server: RealServer) -> None:
    async def is_ready() -> bool:
        return (await server.get("readyz"))[0] == 200

    await poll(is_ready, READY_S)


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.send_signal(signal.SIGINT)
        try:
            async with asyncio.timeout(STOP_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
            raise


def is_alive(pid: int) -> bool:
    """Whether this process runs; one that only waits to be reaped does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


async def wait_until_gone(pid: int) -> None:
    """Until no process has this pid."""

    async def is_gone() -> bool:
        return not is_alive(pid)

    await poll(is_gone, STOP_S)


async def poll(is_met: Callable[[], Awaitable[bool]], deadline_s: float) -> None:
    """Until a state of another process, which can send us no event, is reached."""
    async with asyncio.timeout(deadline_s):
        while not await is_met():  # noqa: ASYNC110
            await asyncio.sleep(0.05)

"""The servers that are compared, each started as its users do and called in its own way."""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import aiohttp

from bench.peers.calls import CallerProcess
from bench.stand import Server, end_process, running_server
from tests.fakes.openai_realtime import FakeRealtimeServer, FakeSession
from tests.fakes.ports import lasting_port

MAX_CALLS: Final = 12
_FOLDER: Final = Path(__file__).parent
_START_TIMEOUT_S: Final = 60.0
_POLL_S: Final = 0.2
_OUTPUT_TAIL: Final = 2000


class Peer(ABC):
    """A running server, the root of its process tree."""

    pid: int

    @abstractmethod
    async def call(self, caller: CallerProcess) -> tuple[int, FakeSession]:
        """Call its agent; returns the number of the call and the model's side of it."""

    @abstractmethod
    async def end_calls(self) -> None:
        """End what remains of calls that were hung up."""


class Parley(Peer):
    """Ours: an agent is started in a channel, then called with one request."""

    def __init__(self, server: Server) -> None:
        self.pid = server.pid
        self._server = server
        self._count = 0
        self._channels: list[str] = []

    async def call(self, caller: CallerProcess) -> tuple[int, FakeSession]:
        """Start an agent and call it."""
        channel = f"peers-{self._count}"
        self._count += 1
        session, _ = await self._server.start_agent(channel)
        self._channels.append(channel)
        return await caller.call(f"{self._server.url}/rooms/{channel}/call"), session

    async def end_calls(self) -> None:
        """Stop the agents."""
        channels, self._channels = self._channels, []
        for channel in channels:
            await self._server.post("/stop_agent", channel_name=channel)


class OneProcessPeer(Peer):
    """A server in one process that begins an agent with each offer.

    Args:
        path: of the route that takes offers
        id_field: field of the offer that names the call, if there must be one
    """

    def __init__(
        self, pid: int, url: str, model: FakeRealtimeServer, *, path: str, id_field: str | None
    ) -> None:
        self.pid = pid
        self._offer_url = f"{url}{path}"
        self._model = model
        self._id_field = id_field
        self._count = 0

    async def call(self, caller: CallerProcess) -> tuple[int, FakeSession]:
        """Offer, and wait for the model session that it begins."""
        self._count += 1
        fields = {self._id_field: f"call-{self._count}"} if self._id_field else {}
        number = await caller.call(self._offer_url, **fields)
        return number, await self._model.next_session()

    async def end_calls(self) -> None:
        """Nothing: its agents end with their calls."""


@contextlib.asynccontextmanager
async def parley() -> AsyncIterator[Peer]:
    """Parley's control server with its agents."""
    async with running_server() as server:
        yield Parley(server)


@contextlib.asynccontextmanager
async def fastrtc(python: Path) -> AsyncIterator[Peer]:
    """FastRTC's example."""
    async with _one_process(python, "fastrtc_agent.py", "/webrtc/offer", "webrtc_id") as peer:
        yield peer


@contextlib.asynccontextmanager
async def pipecat(python: Path) -> AsyncIterator[Peer]:
    """Pipecat's example."""
    async with _one_process(python, "pipecat_agent.py", "/api/offer", None) as peer:
        yield peer


@contextlib.asynccontextmanager
async def _one_process(
    python: Path, program: str, path: str, id_field: str | None
) -> AsyncIterator[Peer]:
    port = lasting_port()
    async with FakeRealtimeServer() as model:
        with tempfile.TemporaryDirectory(prefix="bench-peers-") as folder:
            output_path = Path(folder) / "output"
            with output_path.open("wb") as output:
                process = await asyncio.create_subprocess_exec(
                    *(
                        str(python),
                        "-P",
                        str(_FOLDER / program),
                        str(port),
                        model.uri,
                        str(MAX_CALLS),
                    ),
                    cwd=folder,
                    env={
                        "PATH": os.environ["PATH"],
                        "HOME": folder,
                        "LOGURU_LEVEL": "ERROR",
                        "GRADIO_ANALYTICS_ENABLED": "False",
                    },
                    stdout=output,
                    stderr=output,
                )
            try:
                url = f"http://127.0.0.1:{port}"
                await _wait_listening(process, url, output_path)
                yield OneProcessPeer(process.pid, url, model, path=path, id_field=id_field)
            finally:
                await end_process(process)


async def _wait_listening(process: asyncio.subprocess.Process, url: str, output_path: Path) -> None:
    async with asyncio.timeout(_START_TIMEOUT_S), aiohttp.ClientSession() as http:
        while process.returncode is None:
            with contextlib.suppress(aiohttp.ClientConnectionError):
                async with http.get(f"{url}/openapi.json"):
                    return
            await asyncio.sleep(_POLL_S)
    output = await asyncio.to_thread(output_path.read_text, errors="replace")
    raise RuntimeError(f"a peer did not start: {output[-_OUTPUT_TAIL:]}")

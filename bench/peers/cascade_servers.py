"""The cascades that are compared, each a process of its own, and how they are called."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiohttp

from bench.peers.cascade_caller import PcmWire, RealtimeWire, Wire
from bench.stand import ROOT, START_DEADLINE_S, end_process
from tests.fakes.ports import lasting_port

LINE_TEXT: Final = "You answer on line {}."
"""Instructions of a call, by which the language model knows who asks."""

_PIPECAT: Final = Path(__file__).parent / "pipecat_cascade.py"
_OUTPUT_TAIL: Final = 2000


@dataclass(frozen=True)
class Cascade:
    """A running cascade with one way to find the end of a turn.

    call: begins a call on a line, with a number that no other call has
    """

    name: str
    pid: int
    call: Callable[[int], AbstractAsyncContextManager[Wire]]


@contextlib.asynccontextmanager
async def parley_cascades(chat_url: str) -> AsyncIterator[list[Cascade]]:
    """`main.py model` with a language model."""
    port = lasting_port()
    url = f"http://127.0.0.1:{port}"
    command = (sys.executable, "-m", "main", "model", "--port", str(port))
    language_model = {"LLM_BASE_URL": chat_url, "LLM_MODEL": "scripted"}
    env = {"PARLEY_ENV_FILE": "", "LOG_LEVEL": "ERROR", **language_model}

    @contextlib.asynccontextmanager
    async def call(line: int, detection: str) -> AsyncIterator[Wire]:
        address = f"{url}/v1/realtime?model=parley-local"
        async with aiohttp.ClientSession() as http, http.ws_connect(address) as ws:
            wire = RealtimeWire(ws)
            session = {
                "type": "realtime",
                "instructions": LINE_TEXT.format(line),
                "audio": {"input": {"turn_detection": {"type": detection}}},
            }
            await ws.send_json({"type": "session.update", "session": session})
            await wire.wait_for("session.updated")
            yield wire

    async with _serving(command, env, url) as pid:
        yield [
            Cascade("Parley, semantic_vad", pid, lambda line: call(line, "semantic_vad")),
            Cascade("Parley, server_vad", pid, lambda line: call(line, "server_vad")),
        ]


@contextlib.asynccontextmanager
async def pipecat_cascades(
    chat_url: str, *, python: Path, version: str
) -> AsyncIterator[list[Cascade]]:
    """Pipecat with services of its own for our engines."""
    port = lasting_port()
    url = f"http://127.0.0.1:{port}"
    command = (str(python), "-P", str(_PIPECAT), str(port), chat_url)
    env = {"PYTHONPATH": str(ROOT), "LOGURU_LEVEL": "ERROR"}

    @contextlib.asynccontextmanager
    async def call(line: int, end_of_turn: str) -> AsyncIterator[Wire]:
        address = f"{url}/call?line={line}&end_of_turn={end_of_turn}"
        async with aiohttp.ClientSession() as http, http.ws_connect(address) as ws:
            yield PcmWire(ws)

    async with _serving(command, env, url) as pid:
        name = f"Pipecat {version}"
        yield [
            Cascade(f"{name}, smart-turn", pid, lambda line: call(line, "smart_turn")),
            Cascade(f"{name}, VAD and 0.6 s", pid, lambda line: call(line, "timeout")),
        ]


@contextlib.asynccontextmanager
async def _serving(command: Sequence[str], env: Mapping[str, str], url: str) -> AsyncIterator[int]:
    """Run a server, once it answers `/healthz`; yields its process id."""
    with tempfile.TemporaryDirectory(prefix="bench-cascade-") as folder:
        output_path = Path(folder) / "output"
        with output_path.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                *command,
                cwd=ROOT,
                env={"PATH": os.environ["PATH"], "HOME": folder, **env},
                stdout=output,
                stderr=output,
            )
        try:
            await _wait_ready(process, url, output_path)
            yield process.pid
        finally:
            await end_process(process)


async def _wait_ready(process: asyncio.subprocess.Process, url: str, output_path: Path) -> None:
    async with asyncio.timeout(START_DEADLINE_S), aiohttp.ClientSession() as http:
        while process.returncode is None:
            with contextlib.suppress(aiohttp.ClientConnectionError):
                async with http.get(f"{url}/healthz") as answer:
                    if answer.status == 200:
                        return
            await asyncio.sleep(0.1)
    output = await asyncio.to_thread(output_path.read_text, errors="replace")
    raise RuntimeError(f"a cascade did not start: {output[-_OUTPUT_TAIL:]}")

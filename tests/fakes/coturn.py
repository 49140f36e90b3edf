"""A real coturn on loopback, with the secret of its REST scheme."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.deadlines import DEADLINE_S
from tests.fakes.ports import lasting_port

SECRET = "a secret of the TURN server"


@dataclass
class Coturn:
    """Where it listens, and what it said so far."""

    port: int
    lines: list[str] = field(default_factory=list)
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def url(self, transport: str = "udp") -> str:
        return f"turn:127.0.0.1:{self.port}?transport={transport}"

    def note(self, line: str) -> None:
        self.lines.append(line)
        self._news.set()

    async def wait_for(self, text: str) -> str:
        """The first line with `text` in it."""
        async with asyncio.timeout(DEADLINE_S):
            while not (found := [line for line in self.lines if text in line]):
                self._news.clear()
                await self._news.wait()
        return found[0]


@asynccontextmanager
async def running_coturn(directory: Path) -> AsyncIterator[Coturn]:
    """Start it; it ends with the block.

    Raises:
        RuntimeError: it is not installed; the text says how to.
    """
    if (program := shutil.which("turnserver")) is None:
        raise RuntimeError("these tests need coturn: apt-get install coturn")
    coturn = Coturn(lasting_port())
    process = await asyncio.create_subprocess_exec(
        program,
        *("-n", "--no-cli", "--no-tls", "--no-dtls", "--log-file=stdout", "--verbose"),
        *("--listening-ip=127.0.0.1", f"--listening-port={coturn.port}"),
        *("--relay-ip=127.0.0.1", "--allow-loopback-peers", "--realm=parley.test"),
        *("--use-auth-secret", f"--static-auth-secret={SECRET}"),
        *(f"--pidfile={directory / 'pid'}", f"--userdb={directory / 'db'}"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    reading = asyncio.get_running_loop().create_task(_read(process, coturn))
    try:
        await _wait_listening(coturn)
        yield coturn
    finally:
        process.terminate()
        async with asyncio.timeout(DEADLINE_S):
            await process.wait()
            await reading


async def _read(process: asyncio.subprocess.Process, coturn: Coturn) -> None:
    assert process.stdout is not None
    while line := await process.stdout.readline():
        coturn.note(line.decode(errors="replace").rstrip())


async def _wait_listening(coturn: Coturn) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", coturn.port)
            except OSError:
                await asyncio.sleep(0.05)
                continue
            writer.close()
            await writer.wait_closed()
            return

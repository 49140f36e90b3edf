"""The network between an agent and a caller, whatever this machine permits.

Real network namespaces where they may be made; a gate before the agent's media elsewhere. Both
can lose everything, and give the caller another address.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Protocol

from tests.deadlines import DEADLINE_S
from tests.fakes.media_gate import MediaGate, own_address
from tests.fakes.namespaces import HOME_ADDRESS, Namespaces

PORTS = (29_320, 29_327)


class Network(Protocol):
    """What a test may do to it. kind: which one it is, for the report of the test."""

    kind: str
    room_host: str
    agent_media: dict[str, Any]
    caller_media: dict[str, Any]
    command: list[str]

    def cut(self) -> None:
        """Nothing gets through."""

    def heal(self) -> None:
        """Everything does."""

    async def move(self, caller: Talker) -> None:
        """The caller's address is another one now."""


class _NamespaceNetwork:
    kind = "network namespaces"
    room_host = HOME_ADDRESS

    def __init__(self, namespaces: Namespaces) -> None:
        self._namespaces = namespaces
        self.agent_media: dict[str, Any] = {"ports": PORTS}
        self.caller_media: dict[str, Any] = {}
        self.command = namespaces.away_command
        self.cut = namespaces.cut
        self.heal = namespaces.heal

    async def move(self, caller: Talker) -> None:
        assert caller.is_running
        self._namespaces.move_away()


class _GateNetwork:
    kind = "a gate on loopback (network namespaces are not permitted here)"
    room_host = "127.0.0.1"

    def __init__(self, gate: MediaGate) -> None:
        self._gate = gate
        self.agent_media = gate.media
        # What the caller advertises leads nowhere, so that nothing goes past the gate.
        self.caller_media: dict[str, Any] = {"advertised_address": own_address(5)}
        self.command: list[str] = []
        self.cut = gate.shut
        self.heal = gate.open

    async def move(self, caller: Talker) -> None:
        self._gate.shut(present_only=True)
        await caller.tell(addresses=[own_address(4)])


@asynccontextmanager
async def some_network() -> AsyncIterator[Network]:
    """The best that there is; made before anything that shall live in it."""
    try:
        namespaces = Namespaces()
    except PermissionError:
        async with MediaGate(own_address(2), own_address(9), PORTS) as gate:
            yield _GateNetwork(gate)
        return
    try:
        with namespaces.at_home():
            yield _NamespaceNetwork(namespaces)
    finally:
        namespaces.close()


class Talker:
    """The process of `tests.fakes.talker`, and what it has reported."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.heard_at_s: list[float] = []
        self.connected = 0
        self.signaling: list[str] = []
        self.left: list[int] = []
        self._process = process
        self._news = asyncio.Condition()

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self._process.returncode is None

    async def tell(self, **what: Any) -> None:
        """One line for it."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(what).encode() + b"\n")
        await self._process.stdin.drain()

    async def read(self) -> None:
        """Take its reports until it ends."""
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            async with self._news:
                self._note(json.loads(line))
                self._news.notify_all()

    def _note(self, report: dict[str, Any]) -> None:
        match report:
            case {"heard_at_s": at_s}:
                self.heard_at_s.append(at_s)
            case {"connected": _}:
                self.connected += 1
            case {"signaling": state}:
                self.signaling.append(state)
            case {"left": uid}:
                self.left.append(uid)

    async def hear(self, *, after_s: float, frames: int = 25) -> None:
        """Until this many loud frames came after that moment."""

        def is_heard() -> bool:
            return sum(at_s > after_s for at_s in self.heard_at_s) >= frames

        async with asyncio.timeout(DEADLINE_S), self._news:
            await self._news.wait_for(is_heard)


@asynccontextmanager
async def talking(network: Network, room_url: str) -> AsyncIterator[Talker]:
    """A caller on the far side."""
    wanted = json.dumps({"room_url": room_url, "media": network.caller_media})
    process = await asyncio.create_subprocess_exec(
        *(*network.command, sys.executable, "-m", "tests.fakes.talker", wanted),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    talker = Talker(process)
    reading = asyncio.get_running_loop().create_task(talker.read())
    try:
        yield talker
    finally:
        assert process.stdin is not None
        process.stdin.close()
        async with asyncio.timeout(DEADLINE_S):
            await process.wait()
            await reading

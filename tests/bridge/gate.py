"""The control server's part, in small: lets every connection in and hands its socket to the bridge."""

from __future__ import annotations

import asyncio
import base64
import itertools
import logging
import socket
from typing import Any, Self

from bridge.adoption import Adoption, BridgeRefusedError
from bridge.handshake import read_offer
from bridge.participants import BridgeParticipants
from utils import OwnedTasks

LOG = logging.getLogger("tests.bridge")


class Gate:
    """`url` leads to `bridge`, for the uid in its path."""

    def __init__(self, bridge: BridgeParticipants) -> None:
        self.refusals: list[BridgeRefusedError] = []
        # Fields of the next adoption in place of the usual ones.
        self.changes: dict[str, Any] = {}
        self._bridge = bridge
        self._numbers = itertools.count(1)
        self._tasks = OwnedTasks(LOG)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.setblocking(False)

    def url(self, uid: int) -> str:
        """An address for a client with this uid."""
        return f"ws://127.0.0.1:{self._listener.getsockname()[1]}/{uid}"

    async def __aenter__(self) -> Self:
        self._tasks.start(self._accept(), name="gate")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._tasks.close()
        self._listener.close()

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            sock, _ = await loop.sock_accept(self._listener)
            self._tasks.start(self._let_in(sock), name="let in")

    async def _let_in(self, sock: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        sock.setblocking(False)
        read = b""
        while b"\r\n\r\n" not in read:
            read += await loop.sock_recv(sock, 4096)
        head, _, received = read.partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines[1:])
        await loop.sock_sendall(sock, read_offer(headers, "").accept(None))
        changes, self.changes = self.changes, {}
        number = next(self._numbers)
        adoption = Adoption(
            dialect=changes.get("dialect", "parley"),
            received=base64.b64encode(received),
            session_id=changes.get("session_id", f"s{number}"),
            secret=f"secret{number}",
            uid=changes.get("uid", int(lines[0].split()[1].strip("/"))),
            may_replace=changes.get("may_replace", False),
            last_seq=changes.get("last_seq"),
        )
        try:
            await self._bridge.adopt(sock, adoption)
        except BridgeRefusedError as error:
            self.refusals.append(error)

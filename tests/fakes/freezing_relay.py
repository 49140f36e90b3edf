"""A TCP relay that can go dead without closing anything, as a cable that was pulled out."""

from __future__ import annotations

import asyncio
import logging

from utils import OwnedTasks

_log = logging.getLogger("relay")


class FreezingRelay:
    """Forwards to a port of this machine; connections made before `freeze` get nothing through."""

    def __init__(self, port: int) -> None:
        self._target_port = port
        self._server: asyncio.Server | None = None
        self._tasks = OwnedTasks(_log)
        self._writers: list[asyncio.StreamWriter] = []
        self._passing: list[asyncio.Event] = []

    @property
    def uri(self) -> str:
        """Where clients connect."""
        assert self._server is not None
        return f"ws://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def freeze(self) -> None:
        """From now on nothing passes on the connections there are."""
        for passing in self._passing:
            passing.clear()

    def cut(self) -> None:
        """Reset the connections there are, as a network does that changes."""
        for writer in self._writers:
            writer.transport.abort()

    async def __aenter__(self) -> FreezingRelay:
        self._server = await asyncio.start_server(self._handle, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        await self._tasks.close()
        for writer in self._writers:
            writer.transport.abort()

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target_port)
        self._writers += [writer, far_writer]
        passing = asyncio.Event()
        passing.set()
        self._passing.append(passing)
        self._tasks.start(_forward(reader, far_writer, passing), name="out")
        self._tasks.start(_forward(far_reader, writer, passing), name="in")


async def _forward(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, passing: asyncio.Event
) -> None:
    try:
        while piece := await reader.read(65_536):
            await passing.wait()
            writer.write(piece)
            await writer.drain()
        writer.close()
    except ConnectionError:
        writer.transport.abort()

"""`ConnectionSite`: an aiohttp site that accepts and counts connections itself."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import resource
import socket
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from aiohttp import web

from http_server.connections import Asker, ConnectionLimits, Connections
from http_server.handler import ConnectionHandler
from http_server.log_throttle import LogThrottle
from utils import OwnedTasks

UNREAD_TIMEOUT_S: Final = 30.0
"""Time after which the kernel closes a connection whose peer reads nothing."""

_BATCH: Final = 32
"""Connections accepted per turn of the event loop."""

_PAUSE_S: Final = 0.1
"""Pause after a failed accept."""

_log = logging.getLogger("httpd")


class ConnectionSite(web.BaseSite):
    """Serves `listener`, with limits on connections from before their first byte.

    Connections take at most half of the process's descriptors, whatever `limits` allows; the rest
    is for agents. If descriptors run out all the same, idle connections are closed, and one spare
    descriptor serves local programs such as liveness probes.
    """

    def __init__(
        self,
        runner: web.BaseRunner,
        listener: socket.socket,
        limits: ConnectionLimits,
        asker_of: Callable[[str], Asker],
    ) -> None:
        """asker_of: maps an address to its client"""
        super().__init__(runner)
        self.limits = limits
        self.evicted = 0
        self.refused = 0
        self.malformed = 0
        self._listener = listener
        self._asker_of = asker_of
        self._connections: Connections[ConnectionHandler] = Connections(1, 1)
        self._tasks = OwnedTasks(_log)
        self._sparse = LogThrottle(_log)
        self._retry: asyncio.TimerHandle | None = None
        self._spare: int | None = None

    @property
    def name(self) -> str:
        """The site's URL."""
        host, port = self._listener.getsockname()[:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    @property
    def open(self) -> int:
        """Number of open connections."""
        return len(self._connections)

    async def start(self) -> None:
        """Start accepting."""
        await super().start()
        self.limits = _within_descriptors(self.limits)
        self._connections = Connections(self.limits.total, self.limits.per_address)
        self._spare = _open_spare()
        self._listener.setblocking(False)
        self._resume()

    async def stop(self) -> None:
        """Stop accepting. The runner closes open connections."""
        if self._retry is not None:
            self._retry.cancel()
        asyncio.get_running_loop().remove_reader(self._listener)
        self._listener.close()
        self._drop_spare()
        await self._tasks.close()
        await super().stop()

    # -- accepting -------------------------------------------------------------------------------

    def _resume(self) -> None:
        self._retry = None
        asyncio.get_running_loop().add_reader(self._listener, self._accept_some)

    def _accept_some(self) -> None:
        for _ in range(_BATCH):
            try:
                connection, peer = self._listener.accept()
            except (BlockingIOError, InterruptedError):
                return
            except ConnectionAbortedError:
                continue
            except OSError as error:
                self._pause(error)
                return
            self._take(connection, peer)

    def _pause(self, error: OSError) -> None:
        """Pause after a failed accept, most likely for want of descriptors."""
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._listener)
        self._retry = loop.call_later(_PAUSE_S, self._resume)
        self._sparse.warning(
            "accept",
            f"cannot accept connections: {error.strerror or error}; {self.open} are open, "
            f"{_descriptors()} descriptors allowed: raise the limit (ulimit -n)",
        )
        ended = 0
        while ended < _BATCH and (oldest := self._connections.oldest_waiting()) is not None:
            self._evict(oldest)
            ended += 1
        if ended == 0 and self._spare is not None:
            self._accept_with_spare()

    def _accept_with_spare(self) -> None:
        self._drop_spare()
        with contextlib.suppress(OSError):
            connection, peer = self._listener.accept()
            if self._asker_of(peer[0]).is_limited:
                self.refused += 1
                connection.close()
            else:
                self._take(connection, peer)
        self._spare = _open_spare()

    def _take(self, connection: socket.socket, peer: Any) -> None:
        if self._spare is None:
            self._spare = _open_spare()
        asker = self._asker_of(peer[0])
        has_room, victim = self._connections.make_room(asker)
        if victim is not None:
            self._evict(victim)
        if not has_room:
            self._refuse(connection)
            return
        handler = self._create_handler()
        self._connections.enter(handler, asker)
        self._tasks.start(self._connect(handler, connection), name="connection")

    def _create_handler(self) -> ConnectionHandler:
        server = self._runner.server
        assert server is not None
        return ConnectionHandler(server, self)

    async def _connect(self, handler: ConnectionHandler, connection: socket.socket) -> None:
        try:
            connection.setblocking(False)
            unread_ms = int(UNREAD_TIMEOUT_S * 1000)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, unread_ms)
            loop = asyncio.get_running_loop()
            await loop.connect_accepted_socket(lambda: handler, connection)
        except OSError:  # already disconnected
            self.leave(handler)
            connection.close()

    def _refuse(self, connection: socket.socket) -> None:
        self.refused += 1
        connection.close()
        self._sparse.warning(
            "refused",
            f"a connection was refused: {self.open} are open and in use, at most "
            f"{self.limits.total} may be, {self.limits.per_address} of one address",
        )

    def _evict(self, handler: ConnectionHandler) -> None:
        self.evicted += 1
        self._connections.leave(handler)
        handler.end()

    def _drop_spare(self) -> None:
        if self._spare is not None:
            os.close(self._spare)
            self._spare = None

    # -- events of connections -------------------------------------------------------------------

    def use(self, connection: ConnectionHandler) -> None:
        """Mark the connection as in use."""
        self._connections.use(connection)

    def rest(self, connection: ConnectionHandler) -> None:
        """Mark the connection as waiting."""
        self._connections.rest(connection)

    def leave(self, connection: ConnectionHandler) -> None:
        """Remove the connection."""
        self._connections.leave(connection)

    def note_malformed(self, kind: str) -> None:
        """Count malformed HTTP."""
        self.malformed += 1
        self._sparse.warning("malformed", f"a request was malformed HTTP: {kind}")


def _descriptors() -> int:
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def _within_descriptors(limits: ConnectionLimits) -> ConnectionLimits:
    allowed = _descriptors()
    total = min(limits.total, allowed // 2) if allowed != resource.RLIM_INFINITY else limits.total
    if total < limits.total:
        _log.warning(
            "at most %d connections, not %d: %d descriptors are allowed, half of them for connections",
            *(total, limits.total, allowed),
        )
    return replace(limits, total=total, per_address=min(limits.per_address, max(1, total // 2)))


def _open_spare() -> int | None:
    try:
        return os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None

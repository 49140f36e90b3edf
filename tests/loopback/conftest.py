"""A real room server on a free port, and participants with real WebRTC on 127.0.0.1."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web

from rtc.channel import Channel, RtcOptions
from rtc.engine import RtcEngine
from rtc.room_server.ice_servers import IceServers
from rtc.room_server.server import RoomServer, RoomServerOptions
from tests.deadlines import DEADLINE_S
from tests.fakes.http_server import HttpServer


class Recorder:
    """Everything a channel reported, in order, and a way to wait for it."""

    def __init__(self, channel: Channel) -> None:
        self.events: list[tuple[Any, ...]] = []
        self._changed = asyncio.Event()
        for name in (
            "user_joined",
            "user_left",
            "user_updated",
            "user_connected",
            "connection_state_changed",
            "message",
            "event",
            "event_refused",
            "media_refused",
            "playout_started",
            "playout_done",
        ):
            channel.on(name, self._listener(name))

    def _listener(self, name: str) -> Callable[..., None]:
        def note(*arguments: Any) -> None:
            self.events.append((name, *arguments))
            self._changed.set()

        return note

    def of(self, name: str) -> list[tuple[Any, ...]]:
        """The arguments of each event `name`."""
        return [event[1:] for event in self.events if event[0] == name]

    async def wait_for(self, name: str, *start: Any, count: int = 1) -> tuple[Any, ...]:
        """The arguments of the `count`th event `name` whose first arguments are `start`."""
        async with asyncio.timeout(DEADLINE_S):
            while True:
                found = [event for event in self.of(name) if event[: len(start)] == start]
                if len(found) >= count:
                    return found[count - 1]
                self._changed.clear()
                await self._changed.wait()


class Site:
    """One room server, its address, and channels and sockets that end with the test."""

    def __init__(self, server: RoomServer, stack: AsyncExitStack) -> None:
        self.server = server
        self._stack = stack
        self._http_server = HttpServer()
        self.http = aiohttp.ClientSession()

    @property
    def port(self) -> int:
        return self._http_server.port

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Listen, on the same port as before if there was one."""
        app = web.Application()
        self.server.add_routes(app)
        await self._http_server.start(app)

    async def stop(self) -> None:
        """Close every socket, as a server does that ends."""
        await self._http_server.stop()

    async def restart(self) -> None:
        """A new server that knows nothing, at the old address."""
        await self.stop()
        self.server = RoomServer()
        await self.start()

    def channel(self, options: RtcOptions) -> tuple[Channel, Recorder]:
        """A channel that is not connected yet."""
        channel = RtcEngine(self.url).create_channel(options)
        self._stack.push_async_callback(channel.disconnect)
        return channel, Recorder(channel)

    async def join(self, uid: int, role: Any = "user", **more: Any) -> tuple[Channel, Recorder]:
        """A channel in the room `demo`."""
        options = replace(RtcOptions("demo", uid, role, name=f"name {uid}"), **more)
        channel, recorder = self.channel(options)
        await channel.connect()
        return channel, recorder

    async def socket(
        self, channel: str = "demo", **headers: str
    ) -> aiohttp.ClientWebSocketResponse:
        """A bare signaling socket."""
        socket = await self.http.ws_connect(f"{self.url}/rooms/{channel}/ws", headers=headers)
        self._stack.push_async_callback(socket.close)
        return socket

    async def close(self) -> None:
        await self.http.close()
        await self.stop()


OpenSite = Callable[..., Any]


@pytest_asyncio.fixture
async def open_site() -> AsyncIterator[OpenSite]:
    """Starts sites: `await open_site(secrets=..., ice_servers=..., heartbeat_s=...)`."""
    async with AsyncExitStack() as stack:

        async def start(
            secrets: tuple[str, ...] = (), ice_servers: IceServers | None = None, **options: Any
        ) -> Site:
            server = RoomServer(secrets, ice_servers, RoomServerOptions(**options))
            site = Site(server, stack)
            stack.push_async_callback(site.close)
            await site.start()
            return site

        yield start


@pytest_asyncio.fixture
async def site(open_site: OpenSite) -> Site:
    """A room server without tokens."""
    started: Site = await open_site()
    return started


async def receive(socket: aiohttp.ClientWebSocketResponse, kind: str) -> dict[str, Any]:
    """The next frame of a type on a bare socket, skipping others."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            frame: dict[str, Any] = await socket.receive_json()
            if frame["type"] == kind:
                return frame


@pytest.fixture
def unused_port() -> Iterator[int]:
    """A port where nobody listens, nor will meanwhile."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        yield probe.getsockname()[1]

"""The room's channel: a real room server, and callers with WebRTC."""

from __future__ import annotations

import asyncio
import json
from typing import Any, Self

from aiohttp import web

from rtc.engine import RtcEngine
from rtc.options import RtcOptions
from rtc.room_server.server import RoomServer
from tests.deadlines import DEADLINE_S
from tests.fakes.http_server import HttpServer
from tests.line.scenes.scene import RATE_HZ, News
from tests.loopback.ear import listen

AGENT_UID = 1000


class RoomCaller:
    """A participant of the room."""

    def __init__(self, room_url: str, uid: int) -> None:
        self.uid = uid
        self.news = News()
        self.events: list[dict[str, Any]] = []
        self.chats: list[str] = []
        options = RtcOptions(channel_name="demo", uid=uid, role="user", name=f"user {uid}")
        self._channel = RtcEngine(room_url).create_channel(options)
        now = asyncio.get_running_loop().time
        self._ear = listen(self._channel, AGENT_UID, on_news=self.news.note, now=now)
        self._channel.on("event", self._handle_event)
        self._channel.on("message", self._handle_chat)

    async def join(self) -> None:
        """Join, and wait for media with the agent."""
        connected = asyncio.Event()
        self._channel.on("user_connected", lambda _uid: connected.set())
        await self._channel.connect()
        async with asyncio.timeout(DEADLINE_S):
            await connected.wait()

    def _handle_event(self, text: str, _uid: int) -> None:
        self.events.append(json.loads(text))
        self.news.note()

    def _handle_chat(self, message: Any, _uid: int) -> None:
        self.chats.append(message.text)
        self.news.note()

    @property
    def loud_ms(self) -> float:
        return self._ear.loud_ms

    def say(self, pcm: bytes) -> None:
        self._channel.push_audio_frame(pcm)

    def send_event(self, event: dict[str, Any]) -> None:
        assert self._channel.send_event(json.dumps(event))

    async def leave(self) -> None:
        await self._channel.disconnect()


class RoomScene:
    """`rtc.Channel` in a room of a real room server."""

    def __init__(self) -> None:
        self._rooms = HttpServer()
        self._room_url = f"http://127.0.0.1:{self._rooms.port}"
        options = RtcOptions(channel_name="demo", uid=AGENT_UID, sample_rate_hz=RATE_HZ)
        self.line = RtcEngine(self._room_url).create_channel(options)
        self._callers: list[RoomCaller] = []

    async def __aenter__(self) -> Self:
        app = web.Application()
        RoomServer().add_routes(app)
        await self._rooms.start(app)
        return self

    async def __aexit__(self, *_: object) -> None:
        for caller in self._callers:
            await caller.leave()
        await self.line.disconnect()
        await self._rooms.stop()

    async def join(self, uid: int) -> RoomCaller:
        caller = RoomCaller(self._room_url, uid)
        self._callers.append(caller)
        await caller.join()
        return caller

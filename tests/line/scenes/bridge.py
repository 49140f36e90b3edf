"""A room and the bridge as one line; callers are clients of the bridge."""

from __future__ import annotations

import asyncio
import json
import logging
from contextlib import AsyncExitStack
from typing import Any, Self

import numpy as np

from bridge.client import BridgeClient
from bridge.combined_line import CombinedLine
from bridge.participant import Place
from bridge.participants import BridgeParticipants
from tests.bridge.gate import Gate
from tests.line.scenes.room import AGENT_UID, RoomScene
from tests.line.scenes.scene import RATE_HZ, News
from utils import OwnedTasks

LOUD = 1000
STEP_MS = 5
_PIECE_BYTES = RATE_HZ // 50 * 2


class BridgeCaller:
    """A client of the bridge."""

    def __init__(self, url: str, uid: int) -> None:
        self.uid = uid
        self.news = News()
        self.events: list[dict[str, Any]] = []
        self.chats: list[str] = []
        self.pcm = bytearray()
        self.client = BridgeClient(url)
        self._tasks = OwnedTasks(logging.getLogger("tests.bridge"))

    async def join(self) -> None:
        """Connect and take all that comes."""
        await self.client.connect()
        self._tasks.start(self._take_events(), name="events")
        self._tasks.start(self._take_audio(), name="audio")

    async def _take_events(self) -> None:
        async for event in self.client.events():
            if event.get("type") == "agent_chat_message":
                self.chats.append(event["text"])
            elif event.pop("seq", None) is not None:
                self.events.append(event)
            self.news.note()

    async def _take_audio(self) -> None:
        async for piece in self.client.audio():
            self.pcm += piece
            self.news.note()

    @property
    def loud_ms(self) -> float:
        step = RATE_HZ * STEP_MS // 1000
        whole = len(self.pcm) // (step * 2) * step * 2
        steps = np.frombuffer(bytes(self.pcm[:whole]), np.int16).astype(np.int32).reshape(-1, step)
        return float(STEP_MS * (np.abs(steps).max(axis=1, initial=0) > LOUD).sum())

    def say(self, pcm: bytes) -> None:
        self._tasks.start(self._say(pcm), name="speech")

    async def _say(self, pcm: bytes) -> None:
        for begin in range(0, len(pcm), _PIECE_BYTES):
            await self.client.send_audio(pcm[begin : begin + _PIECE_BYTES])
            await asyncio.sleep(0.02)

    def send_event(self, event: dict[str, Any]) -> None:
        self._tasks.start(self.client._send(json.dumps(event)), name="event")

    async def leave(self) -> None:
        await self.client.close()
        await self._tasks.close()


class BridgeScene:
    """`CombinedLine` over a real room, with real sockets to its clients."""

    def __init__(self) -> None:
        self._room = RoomScene()
        room = self._room.line
        place = Place("demo", "a1", "Parley", RATE_HZ, None)
        self.bridge = BridgeParticipants(
            place,
            keep_s=10.0,
            is_taken=lambda uid: uid == AGENT_UID or uid in room.remote_users,
        )
        self.line = CombinedLine(room, self.bridge)
        self.gate = Gate(self.bridge)
        self._callers: list[BridgeCaller] = []
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self._room)
        await self._stack.enter_async_context(self.gate)
        return self

    async def __aexit__(self, *_: object) -> None:
        for caller in self._callers:
            await caller.leave()
        await self.line.disconnect()
        await self._stack.aclose()

    async def join(self, uid: int) -> BridgeCaller:
        caller = BridgeCaller(self.gate.url(uid), uid)
        self._callers.append(caller)
        await caller.join()
        return caller


class RoomOfBridgeScene(BridgeScene):
    """The same line, with callers in its room."""

    async def join(self, uid: int) -> Any:
        return await self._room.join(uid)

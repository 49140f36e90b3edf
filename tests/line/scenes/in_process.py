"""The line of an agent that runs in-process, and people that its application moves."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Hashable
from typing import Any, Self

from line.participants import ChatMessage
from line.playout.buffer import PlayoutFrame, PlayoutPosition
from parley.in_process.line import InProcessLine
from tests.line.scenes.scene import RATE_HZ, News
from tests.rtc.sound import loudness
from utils import OwnedTasks

AGENT_UID = 1000


class InProcessCaller:
    """A participant; all of them hear the same."""

    def __init__(self, line: InProcessLine, uid: int, tasks: OwnedTasks) -> None:
        self.uid = uid
        self.news = News()
        self.events: list[dict[str, Any]] = []
        self.chats: list[str] = []
        self.loud_ms = 0.0
        self._line = line
        self._tasks = tasks
        line.join(uid, f"user {uid}")

    def say(self, pcm: bytes) -> None:
        self._tasks.start(self._speak(pcm), name="speak")

    async def _speak(self, pcm: bytes) -> None:
        for at in range(0, len(pcm), 960):
            self._line.push_user_audio(self.uid, pcm[at : at + 960])
            await asyncio.sleep(0.02)

    def send_event(self, event: dict[str, Any]) -> None:
        self._line.push_user_event(self.uid, json.dumps(event))

    async def leave(self) -> None:
        self._line.leave(self.uid)


class InProcessScene:
    """`parley.in_process.line.InProcessLine`, whose outlet this is."""

    def __init__(self) -> None:
        self.line = InProcessLine(RATE_HZ, tap=None, outlet=self, uid=AGENT_UID)
        self.pushed: list[tuple[Hashable, bytes]] = []
        self._callers: dict[int, InProcessCaller] = {}
        self._tasks = OwnedTasks(logging.getLogger("test"))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._tasks.close()
        await self.line.disconnect()

    async def join(self, uid: int) -> InProcessCaller:
        caller = self._callers[uid] = InProcessCaller(self.line, uid, self._tasks)
        return caller

    # -- outlet ------------------------------------------------------------------------------------

    def handle_audio(self, key: Hashable, pcm: bytes) -> None:
        self.pushed.append((key, pcm))

    def handle_audio_done(self, key: Hashable) -> None:
        self.pushed.append((key, b""))

    def handle_cleared(self, positions: list[PlayoutPosition]) -> None:
        pass

    def handle_line_event(self, text: str, uid: int | None) -> None:
        for each in self._callers.values():
            if uid in (None, each.uid):
                each.events.append(json.loads(text))
                each.news.note()

    def handle_chat(self, message: ChatMessage) -> None:
        for each in self._callers.values():
            each.chats.append(message.text)
            each.news.note()

    def handle_played(self, frame: PlayoutFrame) -> None:
        for each in self._callers.values():
            each.loud_ms += 20 * (loudness(frame.pcm) > 3000)
            each.news.note()

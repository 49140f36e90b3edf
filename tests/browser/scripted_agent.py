"""An agent whose lines are written by a test: real room, real media, no model."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import numpy as np

from rtc.channel import Channel
from rtc.engine import RtcEngine
from rtc.options import MediaOptions, RtcOptions
from tests.deadlines import DEADLINE_S
from utils import OwnedTasks

SAMPLE_RATE_HZ = 24_000
NAME = "Parley"
LOUD = 1000


class ScriptedAgent:
    """Joins a channel, says and plays what it is told, and keeps what it hears."""

    def __init__(
        self,
        url: str,
        channel: str,
        uid: int,
        token: str | None,
        media: MediaOptions | None = None,
    ) -> None:
        self.uid = uid
        self.playout_reports: asyncio.Queue[dict[str, Any]] = asyncio.Queue(100)
        self.client_events: asyncio.Queue[dict[str, Any]] = asyncio.Queue(100)
        self.heard = bytearray()
        self.heard_more = asyncio.Event()
        # When, on the monotonic clock, somebody was heard.
        self.heard_at_s: list[float] = []
        self._tasks = OwnedTasks(logging.getLogger("scripted agent"))
        self._connected = asyncio.Event()
        self._left = asyncio.Event()
        self.connections = 0
        self._listening_to: set[int] = set()
        self._channel: Channel = RtcEngine(url.rstrip("/"), media).create_channel(
            RtcOptions(
                channel_name=channel,
                uid=uid,
                role="agent",
                name=NAME,
                token=token,
                sample_rate_hz=SAMPLE_RATE_HZ,
            )
        )

    async def start(self) -> None:
        """Join the room."""
        self._channel.on("event", self._handle_client_event)
        self._channel.on("user_connected", self._handle_user_connected)
        self._channel.on("user_left", lambda *_: self._left.set())
        await self._channel.connect()

    async def stop(self) -> None:
        """Leave the room; safe to repeat."""
        await self._tasks.close()
        await self._channel.disconnect()

    async def wait_for_user(self, connections: int = 1) -> None:
        """Until the media of a page is connected, for the `connections`th time."""
        async with asyncio.timeout(DEADLINE_S):
            while self.connections < connections:
                self._connected.clear()
                await self._connected.wait()

    async def wait_until_alone(self) -> None:
        """Until no person is in the channel."""
        async with asyncio.timeout(DEADLINE_S):
            while self._channel.remote_users:
                self._left.clear()
                await self._left.wait()

    async def next_client_event(self) -> dict[str, Any]:
        """What the page sent next over its data channel."""
        async with asyncio.timeout(DEADLINE_S):
            return await self.client_events.get()

    async def next_playout_report(self) -> dict[str, Any]:
        """How late the page says it hears, next."""
        async with asyncio.timeout(DEADLINE_S):
            return await self.playout_reports.get()

    def send(self, event_type: str, **fields: Any) -> None:
        """Tell the page something."""
        event = {"type": event_type, "agent_id": "a1", "agent_name": NAME, **fields}
        self._channel.send_event(json.dumps(event))

    def play_tone(self, frequency_hz: float, duration_s: float) -> None:
        """Say something that can be recognised by its pitch."""
        times = np.arange(int(duration_s * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
        tone = np.sin(2 * np.pi * frequency_hz * times) * 0.4
        self._channel.push_audio_frame((tone * 32767).astype("<i2").tobytes(), key="tone")
        self._channel.finish_audio("tone")

    def play(self, pcm: bytes, key: str, *, is_finished: bool = True) -> None:
        """Say PCM16 at 24 kHz; more may follow unless it is finished."""
        self._channel.push_audio_frame(pcm, key=key)
        if is_finished:
            self._channel.finish_audio(key)

    async def hear(self) -> None:
        """Until somebody is heard, from now on."""
        count = len(self.heard_at_s)
        async with asyncio.timeout(DEADLINE_S):
            while len(self.heard_at_s) == count:
                self.heard_more.clear()
                await self.heard_more.wait()

    def fall_silent(self) -> None:
        """Drop everything that is queued."""
        self._channel.clear_sender_audio_buffer()

    def _handle_client_event(self, text: str, _uid: int) -> None:
        event = json.loads(text)
        is_report = event["type"] == "client_playout_report"
        (self.playout_reports if is_report else self.client_events).put_nowait(event)

    def _handle_user_connected(self, uid: int) -> None:
        self._connected.set()
        self.connections += 1
        if uid not in self._listening_to:
            self._listening_to.add(uid)
            self._tasks.start(self._listen(uid), name=f"listen to {uid}")

    async def _listen(self, uid: int) -> None:
        await self._channel.subscribe_audio(uid)
        async for frame in self._channel.get_audio_frames(uid):
            self.heard += frame.pcm
            if np.abs(np.frombuffer(frame.pcm, "<i2").astype(np.int32)).max() > LOUD:
                self.heard_at_s.append(frame.received_at)
            self.heard_more.set()

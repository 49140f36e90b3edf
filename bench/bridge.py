"""The bridge beside WebRTC, in turns against one server: latency both ways, processor time of a call."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Protocol

from bench.figures import row
from bench.latency import model_to_ear
from bench.processes import cpu_s
from bench.speech import talk
from bench.stand import (
    Caller,
    LoudFrames,
    Server,
    calling,
    first_voice_s,
    running_server,
)
from bridge.client import BridgeClient
from load.sounds import is_loud
from tests.fakes.openai_realtime import FakeSession, tone

ROUNDS = 30
CALLS = 4
WINDOW_S = 8.0
FRAME_BYTES = 960
FRAME_S = 0.02


class Talker(Protocol):
    """A caller of either kind."""

    async def say(self, pcm: bytes) -> None:
        """Send PCM in real time."""
        ...


@dataclass
class RoomTalker:
    """A caller with WebRTC."""

    caller: Caller

    async def say(self, pcm: bytes) -> None:
        """Send PCM in real time."""
        self.caller.channel.push_audio_frame(pcm)


@dataclass
class BridgeTalker(LoudFrames):
    """A caller over the bridge, in this process."""

    client: BridgeClient = field(kw_only=True)

    async def listen(self) -> None:
        """Hear the agent until cancelled."""
        async for piece in self.client.audio():
            if is_loud(piece):
                await self.add(time.monotonic())

    async def say(self, pcm: bytes) -> None:
        """Send PCM in real time."""
        begin_s = time.monotonic()
        for number, at in enumerate(range(0, len(pcm), FRAME_BYTES)):
            await asyncio.sleep(max(0.0, begin_s + number * FRAME_S - time.monotonic()))
            await self.client.send_audio(pcm[at : at + FRAME_BYTES])


@contextlib.asynccontextmanager
async def bridged(server: Server, channel_name: str) -> AsyncIterator[BridgeTalker]:
    """Join the channel's agent over the bridge."""
    url = server.url.replace("http://", "ws://") + f"/ws/{channel_name}"
    async with BridgeClient(url) as client:
        talker = BridgeTalker(client=client)
        listening = asyncio.get_running_loop().create_task(talker.listen())
        try:
            yield talker
        finally:
            listening.cancel()
            await asyncio.wait([listening])


@dataclass
class Figures:
    """Of one way. Milliseconds, and processor seconds per second and call."""

    mouth_to_model: list[float] = field(default_factory=list)
    model_to_ear: list[float] = field(default_factory=list)
    listening: list[float] = field(default_factory=list)
    speaking: list[float] = field(default_factory=list)


async def rows() -> list[str]:
    """Every figure of this part."""
    webrtc, bridge = Figures(), Figures()
    async with running_server() as server:
        await measure_latency(server, webrtc, bridge)
        for _ in range(2):
            await measure_costs(server, webrtc, is_bridge=False)
            await measure_costs(server, bridge, is_bridge=True)
    at_once = f"{CALLS} calls"
    return [
        line
        for name, one in (("WebRTC", webrtc), ("bridge", bridge))
        for line in (
            row(f"{name}: mouth to model", "ms", one.mouth_to_model, digits=2),
            row(f"{name}: model to ear", "ms", one.model_to_ear, digits=2),
            row(f"{name}: cores per call, listening, {at_once}", "cores", one.listening, digits=3),
            row(f"{name}: cores per call, speaking, {at_once}", "cores", one.speaking, digits=3),
        )
    ]


async def measure_latency(server: Server, webrtc: Figures, bridge: Figures) -> None:
    """Two calls; each round measures one of them, then the other."""
    of_room, _ = await server.start_agent("by-webrtc")
    of_bridge, _ = await server.start_agent("by-bridge")
    async with calling(server, "by-webrtc") as caller, bridged(server, "by-bridge") as talker:
        await of_room.wait_for("input_audio_buffer.append", 10)
        for _ in range(ROUNDS):
            webrtc.mouth_to_model.append(await _mouth_to_model(of_room, RoomTalker(caller)))
            bridge.mouth_to_model.append(await _mouth_to_model(of_bridge, talker))
        for _ in range(ROUNDS):
            webrtc.model_to_ear.append(await model_to_ear(of_room, caller))
            bridge.model_to_ear.append(await model_to_ear(of_bridge, talker))
    for name in ("by-webrtc", "by-bridge"):
        await server.post("/stop_agent", channel_name=name)


async def _mouth_to_model(session: FakeSession, talker: Talker) -> float:
    seen = len(session.received)
    sent_s = time.monotonic()
    await talker.say(tone(20))
    reached_s = await first_voice_s(session, since=seen)
    await asyncio.sleep(0.1)
    return (reached_s - sent_s) * 1000


async def measure_costs(server: Server, figures: Figures, *, is_bridge: bool) -> None:
    """Several calls at once: people talk, then the agents do."""
    loop = asyncio.get_running_loop()
    speech = talk(WINDOW_S + 3)
    async with contextlib.AsyncExitStack() as stack:
        sessions: list[FakeSession] = []
        talkers: list[Talker] = []
        names = [f"cost-{number}" for number in range(CALLS)]
        for name in names:
            sessions.append((await server.start_agent(name))[0])
            if is_bridge:
                talkers.append(await stack.enter_async_context(bridged(server, name)))
            else:
                caller = await stack.enter_async_context(calling(server, name))
                talkers.append(RoomTalker(caller))
        pids = [agent["pid"] for agent in await server.agents()]
        speaking = [loop.create_task(talker.say(speech)) for talker in talkers]
        figures.listening += await _cores(pids)
        await asyncio.wait(speaking)
        await asyncio.sleep(3)
        replies = [loop.create_task(one.say(speech, "talk", pace=0.5)) for one in sessions]
        figures.speaking += await _cores(pids)
        await asyncio.wait(replies)
    for name in names:
        await server.post("/stop_agent", channel_name=name)


async def _cores(pids: list[int]) -> list[float]:
    await asyncio.sleep(1)
    began_s, before = time.monotonic(), [cpu_s(pid) for pid in pids]
    await asyncio.sleep(WINDOW_S)
    took_s = time.monotonic() - began_s
    return [(cpu_s(pid) - spent) / took_s for pid, spent in zip(pids, before, strict=True)]

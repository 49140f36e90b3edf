"""A conversation through a `ResilientModel` against scripted servers, its events collected."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from realtime import events as ours
from realtime.events import ModelEvent
from realtime.model import ModelSettings, RealtimeModelConfig
from realtime.openai.model import OpenAIRealtimeModel
from realtime.resilience.model import ResilientModel
from realtime.resilience.options import ResilienceOptions
from realtime.resilience.retry_policy import RetryPolicy
from tests.deadlines import DEADLINE_S
from tests.fakes.openai_realtime import FakeRealtimeServer, FakeSession
from utils import OwnedTasks, cancel_and_wait

FRAME_SAMPLES = 480

FAST = ResilienceOptions(
    retry=RetryPolicy(
        budget_s=3.0,
        patience_s=1.0,
        first_delay_s=0.01,
        max_delay_s=0.05,
        busy_delay_s=0.05,
    )
)


def numbered(first: int, count: int) -> list[bytes]:
    """Frames of 20 ms in which every sample is the frame's own number: each can be told apart."""
    return [number.to_bytes(2, "little") * FRAME_SAMPLES for number in range(first, first + count)]


def frame_numbers(audio: bytes) -> list[int]:
    """Which numbered frames a server got, in order."""
    size = 2 * FRAME_SAMPLES
    return [int.from_bytes(audio[at : at + 2], "little") for at in range(0, len(audio), size)]


class Talk:
    """An agent's side of a conversation."""

    def __init__(self, model: ResilientModel) -> None:
        self.model = model
        self.seen: list[ModelEvent] = []
        self._news = asyncio.Condition()

    async def collect(self) -> None:
        """Take events until they end."""
        async for event in self.model.events():
            async with self._news:
                self.seen.append(event)
                self._news.notify_all()

    def all_of(self, wanted: type[ModelEvent]) -> list[Any]:
        """Every event of this type so far."""
        return [event for event in self.seen if isinstance(event, wanted)]

    async def until(self, wanted: type[ModelEvent], count: int = 1) -> Any:
        """The `count`-th event of this type."""
        async with asyncio.timeout(DEADLINE_S), self._news:
            await self._news.wait_for(lambda: len(self.all_of(wanted)) >= count)
        return self.all_of(wanted)[count - 1]

    async def until_status(self, status: ours.ConnectionStatus, count: int = 1) -> None:
        """Until the connection was told to be like this so often."""

        def statuses() -> int:
            told = self.all_of(ours.ConnectionChanged)
            return [change.status for change in told].count(status)

        async with asyncio.timeout(DEADLINE_S), self._news:
            await self._news.wait_for(lambda: statuses() >= count)

    async def speak(self, frames: list[bytes]) -> None:
        """The user's voice, as fast as it goes."""
        for pcm in frames:
            await self.model.send(ours.AppendAudio(pcm))


@asynccontextmanager
async def talking(
    server: FakeRealtimeServer,
    *,
    create: Callable[[], Any] = OpenAIRealtimeModel,
    options: ResilienceOptions = FAST,
    **settings: Any,
) -> AsyncIterator[tuple[Talk, FakeSession]]:
    """An open conversation and the server's side of its first session."""
    model = ResilientModel(create, options=options)
    await model.connect(config(server, **settings))
    async with collecting(model) as talk:
        yield talk, await server.next_session()


@asynccontextmanager
async def collecting(model: ResilientModel) -> AsyncIterator[Talk]:
    """The agent's side of a connected model, which is closed at the end."""
    talk = Talk(model)
    tasks = OwnedTasks(logging.getLogger("test"))
    task = tasks.start(talk.collect(), name="collect")
    try:
        yield talk
    finally:
        await model.close()
        await cancel_and_wait(task)


def config(server: FakeRealtimeServer, **settings: Any) -> RealtimeModelConfig:
    """How to reach a server."""
    return RealtimeModelConfig(
        model="gpt-realtime-2.1",
        base_uri=server.uri,
        api_key="k",
        settings=ModelSettings(**settings),
        timeout_s=2.0,
    )


async def got_frames(session: FakeSession, last: int) -> list[int]:
    """The numbered frames that a session got, once this one is among them."""
    count = 0
    async with asyncio.timeout(DEADLINE_S):
        while last not in frame_numbers(bytes(session.audio)):
            count = max(count + 1, len(session.all_of("input_audio_buffer.append")) + 1)
            await session.wait_for("input_audio_buffer.append", count)
    return frame_numbers(bytes(session.audio))


def told(session: FakeSession) -> list[str]:
    """What a session was told, one short line an item."""
    return [_line(event["item"]) for event in session.all_of("conversation.item.create")]


def _line(item: dict[str, Any]) -> str:
    match item["type"]:
        case "message":
            part = item["content"][0]
            return f"{item['role']}: {part.get('text') or part['type']}"
        case "function_call":
            return f"call {item['name']}({item['arguments']})"
        case "function_call_output":
            return f"output {item['output']}"
        case other:
            return str(other)

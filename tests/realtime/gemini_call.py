"""An open session with the fake of Gemini Live, both sides of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Any

from realtime import events as ours
from realtime.events import ModelEvent
from realtime.gemini.model import GeminiLiveModel
from realtime.model import RealtimeModelConfig
from tests.fakes.gemini_live import FakeGeminiServer, GeminiFaults, GeminiSession
from tests.fakes.openai_session import tone

DEADLINE_S = 10.0
MODEL = "gemini-3.8-live"
VOICE = tone(300)


def config(server: FakeGeminiServer, **changes: Any) -> RealtimeModelConfig:
    values: dict[str, Any] = {"model": MODEL, "base_uri": server.uri, "api_key": "k"}
    return RealtimeModelConfig(**values | changes)


class Clock:
    """Real time, and what a test adds to it."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead_s


class Call:
    """An open model and the server's side of it."""

    def __init__(
        self, model: GeminiLiveModel, session: GeminiSession, clock: Clock | None = None
    ) -> None:
        self.clock = clock or Clock()
        self.model = model
        self.session = session
        self.events = model.events()
        self.seen: list[ModelEvent] = []

    async def until(self, wanted: type[ModelEvent]) -> Any:
        """Read events up to the first of this type."""
        async with asyncio.timeout(DEADLINE_S):
            async for event in self.events:
                self.seen.append(event)
                if isinstance(event, wanted):
                    return event
        raise AssertionError(f"the session ended without {wanted}")

    async def alongside(self, acting: Awaitable[Any], wanted: type[ModelEvent]) -> Any:
        """Let the server act while the model is read, up to the first event of this type."""
        async with asyncio.TaskGroup() as group:
            group.create_task(_run(acting))
            return await self.until(wanted)

    def all_of(self, wanted: type[ModelEvent]) -> list[Any]:
        return [event for event in self.seen if isinstance(event, wanted)]

    def voice(self, response_id: str) -> bytes:
        deltas = self.all_of(ours.AudioDelta)
        return b"".join(each.pcm for each in deltas if each.response_id == response_id)


async def _run(acting: Awaitable[Any]) -> None:
    await acting


@asynccontextmanager
async def calling(
    faults: GeminiFaults | None = None, *, name: str = MODEL, **changes: Any
) -> AsyncIterator[Call]:
    async with FakeGeminiServer(faults=faults) as server:
        clock = Clock()
        model = GeminiLiveModel(name, clock=clock)
        try:
            await model.connect(config(server, model=name, **changes))
            yield Call(model, await server.next_session(), clock)
        finally:
            await model.close()


def hello(session: GeminiSession) -> Any:
    return session.say(VOICE, "Hello there.")

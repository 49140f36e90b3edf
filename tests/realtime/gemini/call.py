"""An open session with the fake of Gemini Live, both sides of it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from realtime import events as ours
from realtime.gemini.model import GeminiLiveModel
from realtime.model import RealtimeModelConfig
from tests.fakes.gemini_live import FakeGeminiServer, GeminiFaults, GeminiSession
from tests.fakes.openai_session import tone
from tests.realtime.calls import Call

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


class GeminiCall(Call[GeminiSession]):
    """A call whose clock the test sets."""

    def __init__(self, model: GeminiLiveModel, session: GeminiSession, clock: Clock) -> None:
        super().__init__(model, session)
        self.clock = clock

    def voice(self, response_id: str) -> bytes:
        deltas = self.all_of(ours.AudioDelta)
        return b"".join(each.pcm for each in deltas if each.response_id == response_id)


@asynccontextmanager
async def calling(
    faults: GeminiFaults | None = None, *, name: str = MODEL, **changes: Any
) -> AsyncIterator[GeminiCall]:
    async with FakeGeminiServer(faults=faults) as server:
        clock = Clock()
        model = GeminiLiveModel(name, clock=clock)
        try:
            await model.connect(config(server, model=name, **changes))
            yield GeminiCall(model, await server.next_session(), clock)
        finally:
            await model.close()


def hello(session: GeminiSession) -> Any:
    return session.say(VOICE, "Hello there.")

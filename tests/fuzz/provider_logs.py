"""What each provider's server says in a conversation, and the same with things wrong in it."""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from realtime.model import RealtimeModel, RealtimeModelConfig
from realtime.providers import create_model
from tests.fakes.dashscope_realtime import FakeDashScopeServer
from tests.fakes.gemini_live import FakeGeminiServer
from tests.fakes.openai_realtime import FakeRealtimeServer, tone
from tests.fakes.openai_vocabulary import BETA
from tests.fuzz.inputs import VALUES, places

MARKER = "and now to something else"


@dataclass(frozen=True)
class Stage:
    """A provider, its server here, and what its model is called."""

    provider: str
    server: Callable[[], AbstractAsyncContextManager[Any]]
    model: str

    async def connect(self, server: Any) -> tuple[RealtimeModel, Any]:
        """An open model, and the server's side."""
        query = {"api-version": "2025-04-01-preview"} if self.provider == "azure" else {}
        model = create_model(self.provider, self.model)
        await model.connect(RealtimeModelConfig(self.model, server.uri, "k", query=query))
        return model, await server.next_session()

    def log(self) -> list[str]:
        """The frames of a conversation with speech, words and a call, as they were sent."""
        return asyncio.run(self._record())

    async def _record(self) -> list[str]:
        async with self.server() as server:
            model, session = await self.connect(server)
            frames: list[str] = []
            send = session.send_raw

            async def note(text: str) -> None:
                frames.append(text)
                await send(text)

            session.send_raw = note
            if self.provider == "gemini":
                await session.hear("what time is it?")
                await session.say(tone(60), "I look it up")
                await session.call_tools(("c1", "clock", {"zone": "Europe/Paris"}))
                await session.end_turn()
                await session.update_handle()
            else:
                item_id = await session.speech_started()
                await session.speech_stopped(item_id, "what time is it?")
                await session.say(tone(60), "I look it up")
                await session.call_tool("clock", {"zone": "Europe/Paris"})
                await session.fail("server_error", "a hiccup")
            await model.close()
        return frames


STAGES = (
    Stage("openai", FakeRealtimeServer, "gpt-realtime-2.1"),
    Stage("openai-beta", lambda: FakeRealtimeServer(vocabulary=BETA), "any"),
    Stage("azure", FakeRealtimeServer, "deployment"),
    Stage("dashscope", FakeDashScopeServer, "qwen3.5-omni-plus-realtime"),
    Stage("gemini", FakeGeminiServer, "gemini-3.8-live"),
)


@st.composite
def wrong(draw: st.DrawFn, log: list[str]) -> list[str]:
    """`log` with fields dropped, retyped, nested and added, and frames reordered, doubled and cut."""
    frames = [json.loads(text) for text in log]
    for _ in range(draw(st.integers(1, 6))):
        _spoil(draw, frames)
    if draw(st.booleans()):
        at, to = (draw(st.integers(0, len(frames) - 1)) for _ in range(2))
        frames.insert(to, frames.pop(at))
    if draw(st.booleans()):
        frames.insert(
            draw(st.integers(0, len(frames))), copy.deepcopy(draw(st.sampled_from(frames)))
        )
    texts = [json.dumps(each) for each in frames]
    if draw(st.booleans()):
        at = draw(st.integers(0, len(texts) - 1))
        texts[at] = texts[at][: draw(st.integers(0, len(texts[at])))]
    return texts


def _spoil(draw: st.DrawFn, frames: list[Any]) -> None:
    found = places(draw(st.sampled_from(frames)))
    if not found:
        return
    container, key = draw(st.sampled_from(found))
    match draw(st.sampled_from(["replace", "remove", "nest", "repeat"])):
        case "replace":
            container[key] = draw(VALUES)
        case "remove":
            del container[key]
        case "nest":
            container[key] = {"value": container[key]}
        case _:
            container[key] = [container[key], container[key]]

"""A conversation through the OpenAI Agents SDK, which validates strictly all that a server says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from agents import function_tool
from agents.realtime import RealtimeAgent, RealtimeRunner
from agents.realtime.session import RealtimeSession

from tests.deadlines import DEADLINE_S


@function_tool
def get_weather(city: str) -> str:
    """The weather in a city."""
    return f"It is sunny in {city}."


class AgentsTalk:
    """One session; everything it tells is kept in order."""

    def __init__(self, session: RealtimeSession) -> None:
        self.session = session
        self.events: list[Any] = []

    async def until(self, is_wanted: Callable[..., bool]) -> Any:
        """Read on up to the first event like this. An error or a broken frame fails."""
        async with asyncio.timeout(DEADLINE_S):
            async for event in self.session:
                self.events.append(event)
                assert event.type != "error", event
                raw = getattr(event, "data", None)
                assert getattr(raw, "type", None) not in ("error", "exception"), raw
                if is_wanted(event):
                    return event
        raise AssertionError("the session ended")

    async def until_type(self, event_type: str) -> Any:
        """Read on up to the first session event of this type."""
        return await self.until(lambda event: event.type == event_type)

    async def until_reply(self) -> None:
        """Read on up to the end of a spoken reply; tool calls before it are passed over."""
        for model_event_type in ("transcript_delta", "turn_ended"):
            await self.until(lambda event, wanted=model_event_type: _is_raw(event, wanted))

    @property
    def audio(self) -> bytes:
        """All voice so far."""
        return b"".join(event.audio.data for event in self.events if event.type == "audio")


def _is_raw(event: Any, model_event_type: str) -> bool:
    return bool(event.type == "raw_model_event" and event.data.type == model_event_type)


@asynccontextmanager
async def agents_talk(url: str) -> AsyncIterator[AgentsTalk]:
    """A session of the package with the server at `url` (`ws://...?model=`)."""
    agent = RealtimeAgent(name="Guide", instructions="Be brief.", tools=[get_weather])
    runner = RealtimeRunner(agent, config={"tracing_disabled": True})
    session = await runner.run(model_config={"url": url, "api_key": "k"})
    async with session:
        yield AgentsTalk(session)

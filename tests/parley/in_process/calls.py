"""Calls in-process against fakes of providers, their events collected."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from parley import Agent, ChatRoom
from parley.live_events import AudioDeltaEvent, RealtimeEvent
from parley.live_input import LiveInputQueue
from tests.deadlines import DEADLINE_S
from tests.fakes.openai_realtime import FakeRealtimeServer
from tests.fakes.openai_session import FakeSession
from utils import cancel_and_wait

AGENT = Agent("demo", instructions="Be brief.", provider="openai", model="gpt-realtime")


def settings_of(server: FakeRealtimeServer) -> dict[str, str]:
    """Return the settings with which agents reach the fake."""
    return {
        "PARLEY_ENV_FILE": "",
        "OPENAI_API_KEY": "sk-" + "k" * 40,
        "REALTIME_API_BASE_URI": server.uri,
    }


class LiveTalk:
    """The application's side of a call: what it sends, and what came."""

    def __init__(self) -> None:
        self.queue = LiveInputQueue()
        self.seen: list[RealtimeEvent] = []
        self.failure: BaseException | None = None
        self.is_over = False
        self._news = asyncio.Event()

    async def take(self, events: AsyncIterator[RealtimeEvent]) -> None:
        """Take events until there are no more."""
        try:
            async for event in events:
                self.seen.append(event)
                self._news.set()
        except Exception as error:  # noqa: BLE001 - the test looks at it
            self.failure = error
        self.is_over = True
        self._news.set()

    async def until(self, is_met: Callable[[], object]) -> None:
        """Wait until it holds."""
        async with asyncio.timeout(DEADLINE_S):
            while not is_met():
                self._news.clear()
                await self._news.wait()

    async def until_type(self, name: str) -> Any:
        """The first event of this type."""
        await self.until(lambda: self.all_of(name))
        return self.all_of(name)[0]

    async def until_over(self) -> None:
        """Until the generator has ended."""
        await self.until(lambda: self.is_over)

    def all_of(self, name: str) -> list[Any]:
        """Every event of this type so far."""
        return [event for event in self.seen if event.type == name]

    def order(self) -> list[str]:
        """Types of the events, with repetitions in a row left out."""
        types = [event.type for event in self.seen]
        return [each for at, each in enumerate(types) if at == 0 or types[at - 1] != each]

    @property
    def audio(self) -> bytes:
        return b"".join(each.data for each in self.seen if isinstance(each, AudioDeltaEvent))


@asynccontextmanager
async def talking(
    server: FakeRealtimeServer, agent: Agent | ChatRoom = AGENT, **options: Any
) -> AsyncIterator[tuple[LiveTalk, FakeSession]]:
    """A call that has begun, and the provider's side of it."""
    talk = LiveTalk()
    options.setdefault("settings", settings_of(server))
    events = agent.arealtime(talk.queue, **options)
    task = asyncio.get_running_loop().create_task(talk.take(events))
    try:
        yield talk, await server.next_session()
    finally:
        await cancel_and_wait(task)
        await events.aclose()


def in_turn(*replies: Callable[[FakeSession], Any]) -> Callable[[FakeSession], Any]:
    """A `reply_with` that gives these one after the other."""
    waiting = iter(replies)

    def reply(session: FakeSession) -> Any:
        return next(waiting)(session)

    return reply

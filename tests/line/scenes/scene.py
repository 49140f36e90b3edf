"""The two ends of a line, as the contract test sees them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final, Protocol, Self

from line.line import LINE_EVENTS, Line
from tests.deadlines import DEADLINE_S

RATE_HZ: Final = 24_000
"""Of both directions, in every scene."""


class News:
    """Wakes those who wait for a condition."""

    def __init__(self) -> None:
        self._changed = asyncio.Event()

    def note(self, *_: object) -> None:
        """Something may be different now."""
        self._changed.set()

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until it holds."""
        async with asyncio.timeout(DEADLINE_S):
            while not condition():
                self._changed.clear()
                await self._changed.wait()


class Caller(Protocol):
    """A person at the other end of a line."""

    uid: int
    news: News
    events: list[dict[str, Any]]
    """Server events that came, in order."""
    chats: list[str]

    @property
    def loud_ms(self) -> float:
        """How much loud sound of the agent came."""
        ...

    def say(self, pcm: bytes) -> None:
        """Speak PCM16 at `RATE_HZ`, in real time from now on."""
        ...

    def send_event(self, event: dict[str, Any]) -> None:
        """Send a client event."""
        ...

    async def leave(self) -> None:
        """Leave. Idempotent."""
        ...


class Scene(Protocol):
    """Makes one line (not connected yet) and callers. Leaves nothing behind."""

    @property
    def line(self) -> Line:
        """The line."""
        ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, *_: object) -> None: ...

    async def join(self, uid: int) -> Caller:
        """A person joins the line, which is connected."""
        ...


class Recorded:
    """Everything a line reported, in order."""

    def __init__(self, line: Line) -> None:
        self.news = News()
        self.events: list[tuple[Any, ...]] = []
        for name in LINE_EVENTS:
            line.on(name, self._listener(name))

    def _listener(self, name: str) -> Callable[..., None]:
        def note(*arguments: Any) -> None:
            self.events.append((name, *arguments))
            self.news.note()

        return note

    def of(self, name: str) -> list[tuple[Any, ...]]:
        """The arguments of each event `name`."""
        return [event[1:] for event in self.events if event[0] == name]

    async def wait_for(self, name: str) -> tuple[Any, ...]:
        """The arguments of the last event `name`, once there is one."""
        await self.news.until(lambda: self.of(name))
        return self.of(name)[-1]

"""An open model and the server's side of it, for tests of any adapter."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, Generic, TypeVar

from realtime.events import ModelEvent
from realtime.model import RealtimeModel
from tests.deadlines import DEADLINE_S

S = TypeVar("S")


class Call(Generic[S]):
    """An open model and the server's side of it."""

    def __init__(self, model: RealtimeModel, session: S) -> None:
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


async def _run(acting: Awaitable[Any]) -> None:
    await acting

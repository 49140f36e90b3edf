"""A provider with resumption handles and no memory of its own, scripted in this process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from realtime.events import ModelCommand, ModelEvent, SessionEnded
from realtime.model import (
    Capabilities,
    ModelConnectError,
    ModelDisconnectedError,
    RealtimeModelConfig,
    UnsupportedCommandError,
)


class Provider:
    """Makes models and keeps those that were opened."""

    def __init__(self, capabilities: Capabilities) -> None:
        self.capabilities = capabilities
        self.opened: asyncio.Queue[ScriptedModel] = asyncio.Queue()
        self.stale_handles: set[str] = set()
        self.refused: tuple[type[ModelCommand], ...] = ()
        self.asked: list[str | None] = []

    def create(self) -> ScriptedModel:
        return ScriptedModel(self)


class ScriptedModel:
    """See `realtime.model.RealtimeModel`."""

    def __init__(self, provider: Provider) -> None:
        self.provider = provider
        self.config: RealtimeModelConfig | None = None
        self.sent: list[ModelCommand] = []
        self.is_stuck = False
        self.news = asyncio.Event()
        self._events: asyncio.Queue[ModelEvent] = asyncio.Queue()
        self._is_gone = False

    @property
    def capabilities(self) -> Capabilities:
        return self.provider.capabilities

    async def connect(self, config: RealtimeModelConfig) -> None:
        handle = config.resumption_handle
        self.provider.asked.append(handle)
        if handle in self.provider.stale_handles:
            raise ModelConnectError("stale", code="closed_1007", is_retryable=False)
        self.config = config
        self.provider.opened.put_nowait(self)

    async def send(self, command: ModelCommand) -> None:
        if self._is_gone:
            raise ModelDisconnectedError("gone", code="disconnected", is_retryable=True)
        if isinstance(command, self.provider.refused):
            raise UnsupportedCommandError("not here")
        if self.is_stuck:
            await asyncio.Event().wait()
        self.sent.append(command)
        self.news.set()

    async def events(self) -> AsyncIterator[ModelEvent]:
        while not self._is_gone:
            event = await self._events.get()
            yield event
            if isinstance(event, SessionEnded):
                self._is_gone = True

    async def close(self) -> None:
        self._events.put_nowait(SessionEnded("closed by us", "closed"))

    @property
    def unread(self) -> int:
        """How much of what it said nobody has read yet."""
        return self._events.qsize()

    def say(self, *events: ModelEvent) -> None:
        """Let the provider say something."""
        for event in events:
            self._events.put_nowait(event)

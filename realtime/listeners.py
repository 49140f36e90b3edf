"""`ListenedModel`: any model, with listeners beside its one consumer, who can never stall it."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

from realtime.events import ModelCommand, ModelEvent
from realtime.model import Capabilities, RealtimeModel, RealtimeModelConfig
from utils import OwnedTasks

Listener = Callable[[ModelEvent], Awaitable[None] | None]
"""A plain or async function. A plain one runs on the event loop and must return at once."""

MAX_WAITING: Final = 1024
"""Events that wait for one slow listener; of more, its oldest are dropped and counted."""

CLOSE_TIMEOUT_S: Final = 1.0

_log = logging.getLogger("realtime")


class _Listener:
    """One listener and what waits for it."""

    def __init__(self, listener: Listener) -> None:
        self.listener = listener
        self.dropped = 0
        self._waiting: asyncio.Queue[ModelEvent | None] = asyncio.Queue(MAX_WAITING)

    def push(self, event: ModelEvent | None) -> None:
        """Let an event wait; None ends `run` after all before it."""
        if self._waiting.full():
            self._waiting.get_nowait()
            self.dropped += 1
        self._waiting.put_nowait(event)

    async def run(self) -> None:
        """Deliver the events to the listener in order."""
        while (event := await self._waiting.get()) is not None:
            try:
                if inspect.isawaitable(result := self.listener(event)):
                    await result
            except Exception:  # noqa: BLE001 - a listener may raise anything
                # Its failure is its own: the call and the other listeners go on.
                _log.exception("a listener failed at %s", type(event).__name__)


class ListenedModel:
    """See `realtime.model.RealtimeModel`; listeners hear what the consumer of `events` is given."""

    def __init__(self, model: RealtimeModel) -> None:
        self._model = model
        self._ears: list[_Listener] = []
        self._tasks = OwnedTasks(_log)
        self._deliveries: set[asyncio.Task[None]] = set()

    @property
    def capabilities(self) -> Capabilities:
        """The capabilities of the model."""
        return self._model.capabilities

    @property
    def dropped_events(self) -> int:
        """The number of events that present listeners were too slow for."""
        return sum(ear.dropped for ear in self._ears)

    def add_listener(self, listener: Listener) -> None:
        """Deliver every event from now on to `listener`, in order; one added twice gets each event twice.

        To be called where an event loop runs.
        """
        ear = _Listener(listener)
        self._ears.append(ear)
        task = self._tasks.start(ear.run(), name="model listener")
        self._deliveries.add(task)
        task.add_done_callback(self._deliveries.discard)

    def remove_listener(self, listener: Listener) -> None:
        """Deliver nothing new to it; waiting events still come. Unknown listeners are ignored."""
        for ear in self._ears:
            if ear.listener == listener:
                self._ears.remove(ear)
                ear.push(None)
                return

    async def connect(self, config: RealtimeModelConfig) -> None:
        """Open the session; see `RealtimeModel.connect`."""
        await self._model.connect(config)

    async def send(self, command: ModelCommand) -> None:
        """Send one command; see `RealtimeModel.send`."""
        await self._model.send(command)

    async def events(self) -> AsyncIterator[ModelEvent]:
        """Everything the provider says; see `RealtimeModel.events`."""
        async for event in self._model.events():
            for ear in self._ears:
                ear.push(event)
            yield event

    async def close(self) -> None:
        """Close the session, let listeners hear the rest for a moment; safe at any time and again."""
        try:
            await self._model.close()
        finally:
            for ear in self._ears:
                ear.push(None)
            self._ears.clear()
            await self._let_listeners_end()
            await self._tasks.close()

    async def _let_listeners_end(self) -> None:
        # A listener may be the one who closes us, and cannot wait for itself.
        current = asyncio.current_task()
        left = {task for task in self._deliveries if task is not current}
        if left:
            await asyncio.wait(left, timeout=CLOSE_TIMEOUT_S)

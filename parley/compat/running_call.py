"""`RunningCall`: a call that other systems' objects start and stop by methods of their own."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Unpack

from conversation.events.client_events import ClientEvent
from conversation.events.commands import CommandResult, LiveCommand
from parley.agent import Agent
from parley.chat_room import ChatRoom
from parley.in_process.live_call import CallItem, CallOver, LiveCall
from parley.in_process.run import open_call
from parley.live_input import LiveInputQueue
from parley.live_options import LiveOptions
from session.model_setup import CreateModel


class RunningCall:
    """One call of a definition. `start` once, `close` at any time and again.

    on_item: gets everything that happens, on the loop; returns at once
    """

    def __init__(
        self,
        definition: Agent | ChatRoom,
        on_item: Callable[[CallItem], None],
        *,
        queue: LiveInputQueue | None = None,
        create_model: CreateModel | None = None,
        **options: Unpack[LiveOptions],
    ) -> None:
        self.definition = definition
        self.queue = LiveInputQueue() if queue is None else queue
        self._on_item = on_item
        self._create_model = create_model
        self._options = options
        self._stack = contextlib.AsyncExitStack()
        self._call: LiveCall | None = None
        self._changed = asyncio.Event()
        self._is_live = False
        self._over: CallOver | None = None

    @property
    def live(self) -> LiveCall:
        """The call.

        Raises:
            RuntimeError: it was not started.
        """
        if self._call is None:
            raise RuntimeError("start it first")
        return self._call

    @property
    def over(self) -> CallOver | None:
        """The end of the call, once it came."""
        return self._over

    async def start(self) -> None:
        """Begin the call and return when the agent hears.

        Raises:
            RuntimeError: it was started before.
            ConfigError, AgentStartError: it cannot begin; nothing is left open.
        """
        if self._call is not None:
            raise RuntimeError("it was started already; make another one")
        try:
            self._call = await self._stack.enter_async_context(
                open_call(
                    self.definition,
                    self.queue,
                    self._handle,
                    create_model=self._create_model,
                    **self._options,
                )
            )
            self._call.start()
            await self._until_live()
        except BaseException:
            await self.close()
            raise

    async def _until_live(self) -> None:
        while not self._is_live and self._over is None:
            self._changed.clear()
            await self._changed.wait()
        if self._over is not None and self._over.failure is not None:
            raise self._over.failure

    def _handle(self, item: CallItem) -> None:
        if isinstance(item, CallOver):
            self._over = item
        self._is_live = self._is_live or getattr(item, "type", "") == "agent_ready"
        self._changed.set()
        self._on_item(item)

    async def execute(
        self, command: LiveCommand | ClientEvent, *, uid: int | None = None
    ) -> CommandResult:
        """Carry out a command.

        Raises:
            CommandRefusedError: nothing was done.
        """
        return await self.live.execute(command, uid=uid)

    async def close(self) -> None:
        """End the call now, and free all it holds. Idempotent."""
        await self._stack.aclose()

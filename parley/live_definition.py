"""`LiveDefinition`: definitions that run in the process of their application."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from typing import TYPE_CHECKING, Unpack, cast

from parley.live_events import RealtimeEvent
from parley.live_input import LiveInputQueue

if TYPE_CHECKING:
    from parley.agent import Agent
    from parley.chat_room import ChatRoom
    from parley.live_options import LiveOptions


class LiveDefinition:
    """Methods of `Agent` and of `ChatRoom` that run a call."""

    __slots__ = ()

    def arealtime(
        self, queue: LiveInputQueue, **options: Unpack[LiveOptions]
    ) -> AsyncGenerator[RealtimeEvent, None]:
        """Run a call in this process, without server and room, and yield its events.

        The call goes on while events are taken, and ends when `queue` is closed and answered, or
        with `aclose` of the generator, which leaves nothing behind.

        Raises:
            ConfigError: A setting is missing or wrong.
            AgentStartError: The model cannot be reached.
            ConversationStoreError: The conversation of `thread_id` cannot be had.
        """
        # Imported here: to declare agents costs nothing of what runs them.
        from parley.in_process.run import arealtime

        return arealtime(cast("Agent | ChatRoom", self), queue, **options)

    def realtime(
        self, queue: LiveInputQueue, **options: Unpack[LiveOptions]
    ) -> Generator[RealtimeEvent, None, None]:
        """Run a call as `arealtime` does, for programs without an event loop.

        Raises:
            RuntimeError: An event loop runs in this thread.
        """
        from parley.in_process.run import realtime

        return realtime(cast("Agent | ChatRoom", self), queue, **options)

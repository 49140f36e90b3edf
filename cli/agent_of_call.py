"""Agent that the command `call` starts for the time of its call."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager

from agent import RealtimeKitAgent
from cli.agent import config_by_options, start_request
from cli.running import CommandError
from cli.server_client import ask_server, server_url
from config.agent import AgentConfig
from config.settings import Settings
from conversation.events.server_events import ServerEvent
from conversation.lifecycle import AgentStartError, AgentState
from conversation.owner_failure import OwnerFailure
from utils import OwnedTasks

_log = logging.getLogger("call")


def agent_of_call(
    options: argparse.Namespace, settings: Settings
) -> AbstractAsyncContextManager[None]:
    """Return a context in which the agent runs that the options name: in this process with `--app`,
    by the server with `--agent` alone. Without either it starts nothing.

    Raises:
        CommandError: The app cannot be loaded. The context raises it if the agent does not start.
        ConfigError: The settings do not allow what the options ask for.
    """
    if options.app is None and options.agent is None:
        return contextlib.nullcontext()
    names = argparse.Namespace(channel_name=options.channel_name, agent=options.agent)
    request = start_request(names)
    if options.app is not None:
        return _own_agent(config_by_options(options, request, settings))
    return _agent_of_server(
        server_url(options, settings), settings, request.channel_name, options.agent
    )


class _Observer:
    """Waits for an agent to be ready."""

    def __init__(self) -> None:
        self.ready = asyncio.Event()

    def handle_state(self, _old: AgentState, new: AgentState) -> None:
        if new is AgentState.READY:
            self.ready.set()

    def handle_event(self, _event: ServerEvent) -> None:
        """Leave it to the caller, who hears of it in the room."""

    def handle_call_state(self, _state: str, _agent: str) -> None:
        """Keep nothing: the call is not stored."""

    def handle_owner_failure(self, _failure: OwnerFailure) -> None:
        """Keep nothing: the log names it, and there is no record."""


@contextlib.asynccontextmanager
async def _own_agent(config: AgentConfig) -> AsyncIterator[None]:
    observer, tasks = _Observer(), OwnedTasks(_log)
    try:
        agent = RealtimeKitAgent(config, observer)
        running = tasks.start(agent.run(), name="agent")
        ready = tasks.start(observer.ready.wait(), name="ready")
        await asyncio.wait({running, ready}, return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            await running
            raise CommandError("the agent ended before it was ready")
        yield
        agent.stop()
        await asyncio.wait({running})
    except AgentStartError as error:
        raise CommandError(f"{error.phase} failed ({error.code}): {error}") from error
    finally:
        await tasks.close()


@contextlib.asynccontextmanager
async def _agent_of_server(
    url: str, settings: Settings, channel_name: str, name: str
) -> AsyncIterator[None]:
    channel: dict[str, object] = {"channel_name": channel_name}
    await asyncio.to_thread(ask_server, f"{url}/start_agent", settings, {**channel, "agent": name})
    try:
        yield
    finally:
        await asyncio.to_thread(ask_server, f"{url}/stop_agent", settings, channel)

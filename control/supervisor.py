"""`Supervisor`: the local placement, one `AgentProcess` a channel."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from config import AgentConfig
from control.forkserver import ProcessSource
from control.placement import (
    AgentStatus,
    AlreadyRunningError,
    ExitRecord,
    NotRunningError,
    Preparation,
    ShuttingDownError,
)
from control.process import DEFAULT_DEADLINES, AgentProcess, Deadlines
from conversation.client_events import ServerEvent
from conversation.lifecycle import ExitReason
from utils import OwnedTasks

_log = logging.getLogger("control.supervisor")

MAX_REMEMBERED_CHANNELS: Final = 1000
"""Channels whose last exit is kept; of more, the longest ago is forgotten."""


class Supervisor:
    """Implements `placement.Placement` with processes of this machine."""

    def __init__(
        self,
        source: ProcessSource,
        deadlines: Deadlines = DEFAULT_DEADLINES,
        *,
        on_event: Callable[[str, ServerEvent], None] | None = None,
        on_exit: Callable[[ExitRecord], None] | None = None,
    ) -> None:
        """on_event: (channel, what its agent told the room); on_exit: a run is over, its channel
        free. A restart policy hooks in here.
        """
        self._source = source
        self._deadlines = deadlines
        self._on_event = on_event
        self._on_exit = on_exit
        self._processes: dict[str, AgentProcess] = {}
        # How each channel's last run ended; the longest ago comes first.
        self._ended: OrderedDict[str, AgentStatus] = OrderedDict()
        self._is_draining = False
        self._tasks = OwnedTasks(_log)

    async def start(
        self, config: AgentConfig, *, prepare: Preparation | None = None, should_wait: bool = True
    ) -> AgentStatus:
        """See `Placement.start`. A caller that is cancelled leaves the start going on."""
        process = self._reserve(config, prepare)
        self._tasks.start(self._live(process), name=f"agent {config.channel_name}")
        if should_wait:
            await process.wait_ready()
        return process.status(self._last_exit(config.channel_name))

    def _reserve(self, config: AgentConfig, prepare: Preparation | None) -> AgentProcess:
        """Take the channel. No await in here: of concurrent starts exactly one comes through."""
        if self._is_draining:
            raise ShuttingDownError
        if config.channel_name in self._processes:
            raise AlreadyRunningError(config.channel_name)
        process = AgentProcess(
            config, self._source, self._deadlines, prepare=prepare, on_event=self._on_event
        )
        self._processes[config.channel_name] = process
        return process

    async def _live(self, process: AgentProcess) -> None:
        try:
            await process.run()
        finally:
            self._forget(process)

    def _forget(self, process: AgentProcess) -> None:
        """Free the channel, if it is still held by this very process."""
        channel_name = process.config.channel_name
        if self._processes.get(channel_name) is process:
            del self._processes[channel_name]
        if (record := process.exit) is None:
            return
        _log.info("%s: %s, exit code %s", channel_name, record.exit_reason, record.exit_code)
        self._ended[channel_name] = process.status(last_exit=record)
        self._ended.move_to_end(channel_name)
        if len(self._ended) > MAX_REMEMBERED_CHANNELS:
            self._ended.popitem(last=False)
        if self._on_exit is not None:
            self._on_exit(record)

    async def stop(self, channel_name: str, reason: ExitReason = ExitReason.STOPPED) -> ExitRecord:
        """See `Placement.stop`. Concurrent stops of one run all get its record."""
        if channel_name not in self._processes:
            raise NotRunningError
        return await self._processes[channel_name].stop(reason)

    def status(self, channel_name: str) -> AgentStatus:
        """See `Placement.status`."""
        if (process := self._processes.get(channel_name)) is not None:
            return process.status(self._last_exit(channel_name))
        if channel_name not in self._ended:
            raise NotRunningError
        return self._ended[channel_name]

    def _last_exit(self, channel_name: str) -> ExitRecord | None:
        ended = self._ended.get(channel_name)
        return ended.last_exit if ended else None

    def list(self) -> list[AgentStatus]:
        """See `Placement.list`."""
        return [self.status(name) for name in sorted(self._processes)]

    async def drain(self) -> None:
        """See `Placement.drain`."""
        self._is_draining = True
        stops = [process.stop(ExitReason.STOPPED) for process in self._processes.values()]
        for failure in await asyncio.gather(*stops, return_exceptions=True):
            if isinstance(failure, Exception):
                _log.error("an agent could not be stopped: %s", failure)

    def kill_all(self) -> None:
        """End every agent at once, without goodbyes and without waiting."""
        self._is_draining = True
        for process in self._processes.values():
            process.kill()

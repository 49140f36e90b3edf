"""`Supervisor`: the local placement, one `SupervisedAgent` a channel."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Collection, Sequence
from typing import Final

from config import AgentConfig
from control.admission.gate import FRESH_S, AdmissionGate
from control.machine.memory import read_memory
from control.observers import CallObserver, Observers
from control.placement import (
    AgentStatus,
    AlreadyRunningError,
    DrainingError,
    ExitRecord,
    NotRunningError,
    Preparation,
)
from control.processes.ladder import DEFAULT_DEADLINES, Deadlines
from control.processes.proc_figures import FigureReader
from control.processes.started import ProcessSource
from control.processes.surroundings import Surroundings
from control.processes.watch import WatchLimits
from control.supervision.restart import AGENT_POLICY, RestartPolicy
from control.supervision.supervised_agent import SupervisedAgent
from conversation.lifecycle import ExitReason
from conversation.live_commands import CommandResult, LiveCommand
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
        policy: RestartPolicy = AGENT_POLICY,
        limits: WatchLimits | None = None,
        admission: AdmissionGate | None = None,
        observers: Sequence[CallObserver] = (),
    ) -> None:
        """
        limits: of what is healthy; None: what suits this machine
        admission: asked before each start; None: there is always room
        observers: hear of everything that happens to agents
        """
        self._figures = FigureReader()
        self._surroundings = Surroundings(
            source,
            deadlines,
            self._figures,
            limits or WatchLimits.for_machine(read_memory()),
            Observers(observers),
        )
        self._policy = policy
        self._admission = admission
        self._agents: dict[str, SupervisedAgent] = {}
        # How each channel's last run ended; the longest ago comes first.
        self._ended: OrderedDict[str, AgentStatus] = OrderedDict()
        self._is_draining = False
        self._changed = asyncio.Event()
        self._tasks = OwnedTasks(_log)

    async def start(
        self, config: AgentConfig, *, prepare: Preparation | None = None, should_wait: bool = True
    ) -> AgentStatus:
        """See `Placement.start`. A caller that is cancelled leaves the start going on."""
        agent = self._reserve(config, prepare)
        self._tasks.start(
            self._live(config.channel_name, agent), name=f"agent {config.channel_name}"
        )
        if should_wait:
            await agent.wait_ready()
        return agent.status(self._last_exit(config.channel_name))

    def _reserve(self, config: AgentConfig, prepare: Preparation | None) -> SupervisedAgent:
        """Take the channel. No await in here: of concurrent starts exactly one comes through."""
        if self._is_draining:
            raise DrainingError
        if config.channel_name in self._agents:
            raise AlreadyRunningError(config.channel_name)
        if self._admission is not None:
            fresh = sum(agent.is_fresh(FRESH_S) for agent in self._agents.values())
            self._admission.require(agents=len(self._agents), fresh=fresh)
        agent = SupervisedAgent(
            config,
            self._surroundings,
            self._policy,
            prepare=prepare,
            on_exit=lambda record: self._handle_exit(agent, record),
        )
        self._agents[config.channel_name] = agent
        return agent

    async def _live(self, channel_name: str, agent: SupervisedAgent) -> None:
        try:
            await agent.run()
        finally:
            self._forget(channel_name, agent)

    def _handle_exit(self, agent: SupervisedAgent, record: ExitRecord) -> None:
        _log.info("%s: %s, exit code %s", record.channel_name, record.exit_reason, record.exit_code)
        if record.stacks is not None:
            _log.warning(
                "%s: stacks of process %s:\n%s", record.channel_name, record.pid, record.stacks
            )
        if not record.is_restarted:
            self._forget(record.channel_name, agent)
        self._surroundings.observers.handle_exit(record)

    def _forget(self, channel_name: str, agent: SupervisedAgent) -> None:
        """Free the channel, if it is still held by this very agent."""
        if self._agents.get(channel_name) is not agent:
            return
        del self._agents[channel_name]
        self._changed.set()
        if agent.last_exit is None:
            return
        self._ended[channel_name] = agent.status()
        self._ended.move_to_end(channel_name)
        if len(self._ended) > MAX_REMEMBERED_CHANNELS:
            self._ended.popitem(last=False)

    @property
    def ended_calls(self) -> set[str]:
        """Calls that are over, and of which something is still shown."""
        return {status.agent_id for status in self._ended.values()}

    def forget_calls(self, call_ids: Collection[str]) -> None:
        """These calls are deleted: how they ended is shown no more, and those who observe forget
        them too.
        """
        for name in [name for name, one in self._ended.items() if one.agent_id in call_ids]:
            del self._ended[name]
        self._surroundings.observers.forget_calls(call_ids)

    def forget_words(self, call_id: str, before: int) -> None:
        """A live call is told no more, in another process, what is before this place of its
        conversation: that was said in a call that is deleted.
        """
        for agent in self._agents.values():
            if agent.call_id == call_id:
                agent.forget_words(before)

    async def stop(self, channel_name: str, reason: ExitReason = ExitReason.STOPPED) -> ExitRecord:
        """See `Placement.stop`. Concurrent stops of one run all get its record."""
        if channel_name not in self._agents:
            raise NotRunningError
        return await self._agents[channel_name].stop(reason)

    async def command(self, channel_name: str, command: LiveCommand) -> CommandResult:
        """See `Placement.command`."""
        if channel_name not in self._agents:
            raise NotRunningError
        return await self._agents[channel_name].command(command)

    def status(self, channel_name: str) -> AgentStatus:
        """See `Placement.status`."""
        if (agent := self._agents.get(channel_name)) is not None:
            return agent.status(self._last_exit(channel_name))
        if channel_name not in self._ended:
            raise NotRunningError
        return self._ended[channel_name]

    def _last_exit(self, channel_name: str) -> ExitRecord | None:
        ended = self._ended.get(channel_name)
        return ended.last_exit if ended else None

    def list(self) -> list[AgentStatus]:
        """See `Placement.list`."""
        return [self.status(name) for name in sorted(self._agents)]

    @property
    def is_draining(self) -> bool:
        """See `Placement.is_draining`."""
        return self._is_draining

    def refuse_starts(self) -> None:
        """See `Placement.refuse_starts`."""
        self._is_draining = True

    async def drain(self, deadline_s: float = 0.0, reason: ExitReason = ExitReason.STOPPED) -> None:
        """See `Placement.drain`."""
        self.refuse_starts()
        try:
            async with asyncio.timeout(deadline_s):
                await self._wait_empty()
        except TimeoutError:
            await self._stop_all(reason)
        self._figures.close()

    async def _wait_empty(self) -> None:
        while self._agents:
            self._changed.clear()
            await self._changed.wait()

    async def _stop_all(self, reason: ExitReason) -> None:
        stops = [agent.stop(reason) for agent in self._agents.values()]
        for failure in await asyncio.gather(*stops, return_exceptions=True):
            if isinstance(failure, Exception):
                _log.error("an agent could not be stopped: %s", failure)

    def kill_all(self) -> None:
        """End every agent at once, without goodbyes and without waiting."""
        self.refuse_starts()
        for agent in self._agents.values():
            agent.kill()

"""`Supervisor`: placement on this machine, one `SupervisedAgent` per channel."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Sequence
from typing import Final

from bridge.adoption import Adoption
from config.agent import AgentConfig
from control.admission.gate import FRESH_S, AdmissionGate
from control.forkserver.started_process import ProcessSource
from control.health.proc_stats import ProcStatsReader
from control.health.rules import HealthLimits
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
from control.supervisor.process import AnswerMemory, ProcessContext
from control.supervisor.restart import AGENT_POLICY, RestartPolicy
from control.supervisor.stop_sequence import DEFAULT_DEADLINES, Deadlines
from control.supervisor.supervised_agent import SupervisedAgent
from conversation.events.commands import CommandResult, LiveCommand
from conversation.lifecycle import ExitReason
from utils import BoundedDict, OwnedTasks

_log = logging.getLogger("control.supervisor")

MAX_REMEMBERED_CHANNELS: Final = 1000
"""Channels whose last exit is kept; the oldest is dropped beyond that."""


class Supervisor:
    """Implement `placement.Placement` with processes of this machine."""

    def __init__(
        self,
        source: ProcessSource,
        deadlines: Deadlines = DEFAULT_DEADLINES,
        *,
        policy: RestartPolicy = AGENT_POLICY,
        limits: HealthLimits | None = None,
        admission: AdmissionGate | None = None,
        observers: Sequence[CallObserver] = (),
        answer_memory: AnswerMemory | None = None,
    ) -> None:
        """
        Args:
            limits: health limits; None: defaults for this machine.
            admission: checked before each start; None: no check.
            observers: called for everything that happens to agents.
            answer_memory: answers requests to the memory of a key; None: there is none.
        """
        self._stats_reader = ProcStatsReader()
        self._context = ProcessContext(
            source,
            deadlines,
            self._stats_reader,
            limits or HealthLimits.for_machine(read_memory()),
            Observers(observers),
            (lambda: False) if admission is None else (lambda: admission.is_under_pressure),
            answer_memory,
        )
        self._policy = policy
        self._admission = admission
        # Live agents by channel name.
        self._agents: dict[str, SupervisedAgent] = {}
        # Last status of each channel whose agent has ended, oldest first.
        self._ended: BoundedDict[str, AgentStatus] = BoundedDict(MAX_REMEMBERED_CHANNELS)
        self._is_draining = False
        # Set when an agent has ended, for `drain`.
        self._changed = asyncio.Event()
        self._tasks = OwnedTasks(_log)

    async def start(
        self, config: AgentConfig, *, prepare: Preparation | None = None, should_wait: bool = True
    ) -> AgentStatus:
        """See `Placement.start`. A start continues when its caller is cancelled."""
        agent = self._reserve(config, prepare)
        self._tasks.start(
            self._run_agent(config.channel_name, agent), name=f"agent {config.channel_name}"
        )
        if should_wait:
            await agent.wait_ready()
        return agent.status(self._last_exit(config.channel_name, config.team))

    def _reserve(self, config: AgentConfig, prepare: Preparation | None) -> SupervisedAgent:
        """Reserve the channel. No await in here, so exactly one of concurrent starts succeeds."""
        if self._is_draining:
            raise DrainingError
        if config.channel_name in self._agents:
            raise AlreadyRunningError(config.channel_name)
        if self._admission is not None:
            self._admission.require(agents=len(self._agents), fresh=self.fresh)
        agent = SupervisedAgent(
            config,
            self._context,
            self._policy,
            prepare=prepare,
            on_exit=lambda record: self._handle_exit(agent, record),
        )
        self._agents[config.channel_name] = agent
        return agent

    async def _run_agent(self, channel_name: str, agent: SupervisedAgent) -> None:
        try:
            await agent.run()
        finally:
            self._release(channel_name, agent)

    def _handle_exit(self, agent: SupervisedAgent, record: ExitRecord) -> None:
        _log.info("%s: %s, exit code %s", record.channel_name, record.exit_reason, record.exit_code)
        if record.stacks is not None:
            _log.warning(
                "%s: stacks of process %s:\n%s", record.channel_name, record.pid, record.stacks
            )
        if not record.is_restarted:
            self._release(record.channel_name, agent)
        self._context.observers.handle_exit(record)

    def _release(self, channel_name: str, agent: SupervisedAgent) -> None:
        """Free the channel, if it is still held by this very agent."""
        if self._agents.get(channel_name) is not agent:
            return
        del self._agents[channel_name]
        self._changed.set()
        if agent.last_exit is None:
            return
        self._ended[channel_name] = agent.status()
        self._ended.move_to_end(channel_name)

    @property
    def ended_calls(self) -> set[str]:
        """Ids of calls that are over and whose last status is still shown."""
        return {status.agent_id for status in self._ended.values()}

    def forget_calls(self, call_ids: Collection[str]) -> None:
        """Drop the last status of these calls, which are deleted, here and in all observers."""
        for name in [name for name, one in self._ended.items() if one.agent_id in call_ids]:
            del self._ended[name]
        self._context.observers.forget_calls(call_ids)

    def forget_entries_before(self, call_id: str, number: int) -> None:
        """Drop entries of a live call's conversation before this number: they belong to a deleted
        call, and a replacement process must not get them.
        """
        for agent in self._agents.values():
            if agent.call_id == call_id:
                agent.forget_entries_before(number)

    async def stop(self, channel_name: str, reason: ExitReason = ExitReason.STOPPED) -> ExitRecord:
        """See `Placement.stop`. Concurrent stops of one run all return its record."""
        if channel_name not in self._agents:
            raise NotRunningError
        return await self._agents[channel_name].stop(reason)

    async def command(self, channel_name: str, command: LiveCommand) -> CommandResult:
        """See `Placement.command`."""
        if channel_name not in self._agents:
            raise NotRunningError
        return await self._agents[channel_name].command(command)

    async def adopt(self, channel_name: str, descriptor: int, adoption: Adoption) -> None:
        """See `Placement.adopt`."""
        if channel_name not in self._agents:
            raise NotRunningError
        await self._agents[channel_name].adopt(descriptor, adoption)

    def status(self, channel_name: str) -> AgentStatus:
        """See `Placement.status`."""
        if (agent := self._agents.get(channel_name)) is not None:
            return agent.status(self._last_exit(channel_name, agent.team))
        if channel_name not in self._ended:
            raise NotRunningError
        return self._ended[channel_name]

    def _last_exit(self, channel_name: str, team: str) -> ExitRecord | None:
        ended = self._ended.get(channel_name)
        return ended.last_exit if ended and ended.team == team else None

    def cpu_s(self) -> dict[int, float]:
        """Return the processor seconds that each agent process has spent so far, by its pid."""
        return dict(one for agent in self._agents.values() if (one := agent.cpu_s) is not None)

    def list(self) -> list[AgentStatus]:
        """See `Placement.list`."""
        return [self.status(name) for name in sorted(self._agents)]

    @property
    def fresh(self) -> int:
        """Agents that are too young to show in the averaged load."""
        return sum(agent.is_fresh(FRESH_S) for agent in self._agents.values())

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
        self._stats_reader.close()

    async def _wait_empty(self) -> None:
        while self._agents:
            self._changed.clear()
            await self._changed.wait()

    async def _stop_all(self, reason: ExitReason) -> None:
        # All at once: the deadlines of the stop sequence run in parallel.
        stops = [agent.stop(reason) for agent in self._agents.values()]
        for failure in await asyncio.gather(*stops, return_exceptions=True):
            if isinstance(failure, Exception):
                _log.error("stopping an agent failed: %s", failure)

    def kill_all(self) -> None:
        """Send SIGKILL to every agent process without waiting."""
        self.refuse_starts()
        for agent in self._agents.values():
            agent.kill()

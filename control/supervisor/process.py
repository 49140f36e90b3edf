"""`AgentProcess`: the supervisor's side of one agent process, from its start to its reaping."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final, TypeVar

from bridge.adoption import Adoption
from config.agent import AgentConfig, team_key
from control.forkserver.started_process import ProcessSource, StartedProcess
from control.health.monitor import HealthMonitor
from control.health.proc_stats import ProcStatsReader
from control.health.rules import Action, Finding, HealthLimits
from control.ipc.link import (
    CHILD_MESSAGE,
    AdoptSocket,
    AskMemory,
    ChildMessage,
    Command,
    CommandDone,
    Event,
    Exiting,
    Forget,
    Link,
    LinkBrokenError,
    LinkBusyError,
    MemoryAnswered,
    MessageRefusedError,
    OwnerFailed,
    Pong,
    Ready,
    Remember,
    RememberCall,
    RenewModel,
    Start,
    StartFailed,
    StateChanged,
)
from control.observers import Observers
from control.placement import AgentGoneError, AgentStatus, ExitRecord, Preparation, StopFailedError
from control.supervisor.lifecycle import SupervisedLifecycle
from control.supervisor.pending_commands import PendingCommands
from control.supervisor.stop_sequence import Deadlines, StopSequence
from conversation.events.commands import CommandRefusedError, CommandResult, LiveCommand
from conversation.lifecycle import AgentStartError, AgentState, ExitReason, IllegalTransitionError
from conversation.memory import NO_KEY, MemoryAnswer, MemoryRequest
from conversation.snapshot import ConversationSnapshot
from utils import OwnedTasks, run_unless, wall_clock_ms

_log = logging.getLogger("control.process")

# For messages that are still in the socket when the process has exited.
_DRAIN_LINK_S = 1.0
# A process that dies before its first message was lost while it was idle: another one may serve.
_MAX_PROCESSES = 3
_REQUESTED_REASONS = (ExitReason.STOPPED, ExitReason.DRAINED)
_TALKING = (AgentState.READY, AgentState.RUNNING)

T = TypeVar("T")


AnswerMemory = Callable[[str, MemoryRequest], Awaitable[MemoryAnswer]]


@dataclass(frozen=True)
class ProcessContext:
    """Collaborators that all agent processes of a supervisor share.

    should_save_work: read for each ping; true while the machine is short of processor time.
    answer_memory: answers requests to the memory of a key; None: there is none.
    """

    source: ProcessSource
    deadlines: Deadlines
    stats_reader: ProcStatsReader
    limits: HealthLimits
    observers: Observers = field(default_factory=Observers)
    should_save_work: Callable[[], bool] = lambda: False
    answer_memory: AnswerMemory | None = None


MAX_MEMORY_REQUESTS: Final = 8
"""Of one agent, at once."""


class AgentProcess:
    """One agent in one process. `run` spans its lifetime; the other methods query or command it."""

    def __init__(
        self,
        config: AgentConfig,
        context: ProcessContext,
        lifecycle: SupervisedLifecycle,
        *,
        prepare: Preparation | None = None,
    ) -> None:
        """lifecycle: of the agent; the states that the process reports are entered into it."""
        loop = asyncio.get_running_loop()
        self.config = config
        # Duration of each phase of the start, and `total` once ready.
        self.timings_ms: dict[str, float] = {}
        self.exit: ExitRecord | None = None
        self.failure: AgentStartError | None = None
        # Conversation that a replacement process would resume.
        self.conversation = ConversationSnapshot(config.conversation_seed)
        # True if the process was lost while its agent was ending the call on its own.
        self.was_saying_goodbye = False
        self._context = context
        self._deadlines = context.deadlines
        self._prepare = prepare
        self._lifecycle = lifecycle
        self._began_s = time.monotonic()
        self._process: StartedProcess | None = None
        # None until the first process exists; kept after its end for the last readings.
        self._monitor: HealthMonitor | None = None
        # True once the child has sent a message: before that its loss is not a failed start.
        self._has_sent_message = False
        # Reason in the child's last message; None after a crash.
        self._reported_reason: ExitReason | None = None
        self._link: Link[ChildMessage] | None = None
        self._pending_commands = PendingCommands()
        self._memory_tasks = OwnedTasks(_log)
        # Done when ready; fails with AgentStartError once a failed start has been cleaned up.
        self._ready: asyncio.Future[None] = loop.create_future()
        self._stop_sequence = StopSequence(
            config.channel_name, self._deadlines, has_goodbye=config.goodbye is not None
        )
        # Set when the process is gone, or has survived the whole stop sequence (`exit` is None then).
        self._stop_done = asyncio.Event()

    # -- status ----------------------------------------------------------------------------------

    @property
    def pid(self) -> int | None:
        """Pid; None until the process exists."""
        return self._process.pid if self._process else None

    @property
    def cpu_s(self) -> float | None:
        """Processor seconds that the process has used; None while unknown."""
        stats = self._monitor.proc_stats if self._monitor else None
        return None if stats is None or self.exit is not None else stats.cpu_s

    @property
    def is_ready(self) -> bool:
        """True once the agent has become ready."""
        return self._ready.done() and self._ready.exception() is None

    def status(self, last_exit: ExitRecord | None = None) -> AgentStatus:
        """Return the present status; `last_exit` is passed through."""
        monitor = self._monitor
        age_s = monitor.heartbeat_age_s if monitor else None
        stats = monitor.proc_stats if monitor else None
        return AgentStatus(
            agent_id=self.config.agent_id,
            channel_name=self.config.channel_name,
            uid=self.config.uid,
            name=self.config.name,
            definition=self.config.definition,
            team=self.config.team,
            key=self.config.key,
            state=self._lifecycle.state,
            pid=None if self.exit else self.pid,
            provider=self.config.provider.name,
            model=self.config.provider.model,
            uptime_s=self.exit.uptime_s if self.exit else self._uptime_s(),
            timings_ms=dict(self.timings_ms),
            loop_lag_ms=monitor.loop_lag_ms if monitor else None,
            private_bytes=stats.private_bytes if stats else None,
            pss_bytes=stats.pss_bytes if stats else None,
            descriptors=stats.descriptors if stats else None,
            cpu_s=self.cpu_s,
            vitals=monitor.vitals if monitor else None,
            remembered=len(self.conversation),
            heartbeat_age_s=None if age_s is None else round(age_s, 3),
            last_exit=last_exit,
        )

    def _uptime_s(self) -> float:
        return round(time.monotonic() - self._began_s, 3)

    # -- requests --------------------------------------------------------------------------------

    async def wait_ready(self) -> None:
        """Return when the agent is ready.

        Raises:
            AgentStartError: it never became ready; its process is gone.
        """
        await asyncio.shield(self._ready)

    async def command(self, command: LiveCommand) -> CommandResult:
        """See `Placement.command`."""
        state, link = self._lifecycle.state, self._link
        is_ending = self._stop_sequence.reason is not None
        if state not in _TALKING or link is None or self._stop_sequence.is_link_closed or is_ending:
            raise CommandRefusedError(
                "not_ready", f"the agent is {'ending' if is_ending else state}"
            )
        return await self._pending_commands.execute(
            lambda number: self._send(link, Command(number=number, command=command))
        )

    async def adopt(self, descriptor: int, adoption: Adoption) -> None:
        """See `Placement.adopt`; the agent must be ready."""
        link = self._link
        if not self.can_adopt or link is None:
            raise CommandRefusedError("not_ready", "the agent is not ready")
        await self._pending_commands.execute(
            lambda number: _send_socket(
                link, AdoptSocket(number=number, adoption=adoption), descriptor
            )
        )

    @property
    def can_adopt(self) -> bool:
        """True while the agent takes connections."""
        is_live = self._lifecycle.state in _TALKING and self.exit is None
        is_ending = self._stop_sequence.is_link_closed or self._stop_sequence.reason is not None
        return is_live and not is_ending

    def _send(self, link: Link[ChildMessage], message: Command) -> None:
        if link.has_backlog:
            text = "the agent has not read the commands before this one"
            raise CommandRefusedError("too_many_events", text)
        try:
            link.send(message)
        except LinkBrokenError as error:
            raise AgentGoneError from error
        except MessageRefusedError as error:
            raise CommandRefusedError(
                "invalid_event", f"the command cannot be sent: {error}"
            ) from error

    async def stop(self, reason: ExitReason) -> ExitRecord:
        """Stop the process; returns when it is gone.

        Raises:
            StopFailedError: SIGKILL had no effect within its deadline.
        """
        self._stop_sequence.request(reason)
        await self._stop_done.wait()
        if self.exit is None:
            raise StopFailedError(f"process {self.pid} survived SIGKILL")
        return self.exit

    def kill(self) -> None:
        """Send SIGKILL without waiting for the exit."""
        self._stop_sequence.request(ExitReason.STOPPED)
        if self._process is not None:
            self._stop_sequence.kill(self._process)

    # -- lifetime --------------------------------------------------------------------------------

    async def run(self) -> None:
        """Run from preparation to reaping. Failures go into the exit record, not into exceptions."""
        try:
            await self._timed("model", self._run_preparation)
            for _ in range(_MAX_PROCESSES):
                if self._has_sent_message or self._stop_sequence.reason is not None:
                    break
                process = await self._timed("process", self._take_process)
                if process is not None:
                    await self._run_in(process)
        except AgentStartError as error:
            self.failure = error
        except OSError as error:
            text = error.strerror or str(error)
            self.failure = AgentStartError("starting", "no_process", text)
        finally:
            self._finish()

    async def _timed(self, phase: str, step: Callable[[], Awaitable[T]]) -> T:
        began_s = time.monotonic()
        result = await step()
        self.timings_ms[phase] = _ms_since(began_s)
        return result

    async def _run_preparation(self) -> None:
        if self._prepare is not None:
            await run_unless(self._stop_sequence.requested, self._prepare())

    async def _take_process(self) -> StartedProcess | None:
        """Return a process; None if a stop is requested first."""
        source = self._context.source
        return await run_unless(self._stop_sequence.requested, source.start_process())

    async def _run_in(self, process: StartedProcess) -> None:
        """Serve the link of `process` until it is reaped."""
        self._process = process
        self._link = link = await Link.open(process.sock, CHILD_MESSAGE)
        tasks = OwnedTasks(_log)
        try:
            self._send_start(link)
            self._monitor = monitor = self._create_monitor(process, link)
            listening = tasks.start(self._listen(link), name="listen")
            tasks.start(self._run_stop_sequence(link, process), name="stop sequence")
            tasks.start(monitor.run(link, self._deadlines.ping_interval_s), name="health monitor")
            # A stop is requested when the deadline passes before `Ready`.
            timer = asyncio.get_running_loop().call_later(
                self._deadlines.start_s, self._handle_start_timeout
            )
            try:
                await process.exited.wait()
            finally:
                timer.cancel()
            # Its last messages may still be in the socket.
            await asyncio.wait([listening], timeout=_DRAIN_LINK_S)
        finally:
            link.abort()
            await tasks.close()
            await self._memory_tasks.close()

    def _send_start(self, link: Link[ChildMessage]) -> None:
        try:
            link.send(Start(config=self.config.to_json()))
        except MessageRefusedError as error:
            text = f"the start message cannot be sent: {error}"
            self.failure = AgentStartError("starting", "too_large", text, is_retryable=False)
            self._stop_sequence.request(ExitReason.START_FAILED)
            link.abort()

    def _create_monitor(self, process: StartedProcess, link: Link[ChildMessage]) -> HealthMonitor:
        return HealthMonitor(
            self.config.channel_name,
            process.pid,
            self._context.stats_reader,
            self._context.limits,
            on_finding=lambda finding: self._handle_finding(finding, link),
            should_save_work=self._context.should_save_work,
        )

    def _handle_finding(self, finding: Finding, link: Link[ChildMessage]) -> None:
        self._context.observers.handle_finding(self.config, finding)
        if finding.action is Action.WARN:
            return
        if finding.action is Action.RENEW_MODEL:
            link.send(RenewModel(reason=finding.sign))
            return
        self._stop_sequence.request(
            finding.exit_reason, problem=finding.text, is_graceful=finding.action is Action.LEAVE
        )

    async def _listen(self, link: Link[ChildMessage]) -> None:
        try:
            while (message := await link.receive()) is not None:
                self._has_sent_message = True
                self._handle_message(message)
                self._context.observers.handle_message(self.config, message)
        except (LinkBrokenError, IllegalTransitionError) as error:
            _log.error("%s: link broken: %s", self.config.channel_name, error)
        if self._has_sent_message:
            self._pending_commands.close()
            self._stop_sequence.handle_link_closed()

    def _handle_message(self, message: ChildMessage) -> None:
        match message:
            case StateChanged():
                self._lifecycle.follow(message.state, at_ms=message.at_ms)
            case Ready():
                self._handle_ready(message)
            case StartFailed():
                self.failure = AgentStartError(
                    message.phase, message.code, message.message, is_retryable=message.is_retryable
                )
            case AskMemory():
                self._handle_memory(message)
            case Event() | OwnerFailed():
                pass  # For observers only.
            case Remember() | Forget() | RememberCall():
                self._keep(message)
            case Pong():
                assert self._monitor is not None
                self._monitor.handle_pong(message)
            case CommandDone():
                self._pending_commands.handle_done(message)
            case Exiting():
                self._reported_reason = message.exit_reason

    def _handle_memory(self, message: AskMemory) -> None:
        if len(self._memory_tasks) < MAX_MEMORY_REQUESTS:
            self._memory_tasks.start(self._answer_memory(message), name="memory")
        else:
            self._send_memory(message, MemoryAnswer(problem="too many requests at once"))

    async def _answer_memory(self, message: AskMemory) -> None:
        ask = self._context.answer_memory
        key = self.config.memory_key
        if ask is None or not key:
            answer = NO_KEY
        else:
            answer = await ask(team_key(self.config.team, key), message.request)
        self._send_memory(message, answer)

    def _send_memory(self, message: AskMemory, answer: MemoryAnswer) -> None:
        assert self._link is not None
        try:
            self._link.send(MemoryAnswered(number=message.number, answer=answer))
        except LinkBrokenError:
            _log.debug("%s: the agent is gone before its memory", self.config.channel_name)

    def _keep(self, message: Remember | Forget | RememberCall) -> None:
        """Keep what a replacement process needs."""
        match message:
            case Remember():
                self.conversation.update(message.entry)
            case Forget():
                self.conversation.forget(message.number)
            case RememberCall():
                self.conversation.call_state = message.state
                self.conversation.agent = message.agent

    def _handle_ready(self, message: Ready) -> None:
        self.timings_ms |= message.timings_ms
        self.timings_ms["total"] = _ms_since(self._began_s)
        self._context.observers.handle_ready(self.config, self.timings_ms)
        if not self._ready.done():
            self._ready.set_result(None)

    def _handle_start_timeout(self) -> None:
        if not self._ready.done():
            state = self._lifecycle.state
            text = f"not ready after {self._deadlines.start_s:g} s, while {state}"
            self.failure = AgentStartError(str(state), "start_timeout", text)
            self._stop_sequence.request(ExitReason.START_FAILED)

    # -- exit ------------------------------------------------------------------------------------

    async def _run_stop_sequence(self, link: Link[ChildMessage], process: StartedProcess) -> None:
        if not await self._stop_sequence.run(link, process):
            self._stop_done.set()

    def _finish(self) -> None:
        """Record the exit and release all waiters."""
        process = self._process
        self._pending_commands.close()
        self.was_saying_goodbye = self._lifecycle.state is AgentState.DRAINING
        self.exit = ExitRecord(
            agent_id=self.config.agent_id,
            channel_name=self.config.channel_name,
            uid=self.config.uid,
            pid=self.pid,
            exit_reason=self._exit_reason(),
            exit_code=process.exit_code if process else None,
            stopped_by=self._stop_sequence.step,
            uptime_s=self._uptime_s(),
            ended_at_ms=wall_clock_ms(),
            error=str(self.failure) if self.failure else self._stop_sequence.problem,
            stacks=process.stacks if process else None,
        )
        if not self._ready.done():
            self._ready.set_exception(self.failure or self._unexplained_failure())
            self._ready.exception()  # Retrieved, so that asyncio does not log it without a waiter.
        self._stop_done.set()

    def _exit_reason(self) -> ExitReason:
        if self.failure is not None and not self._ready.done():
            return ExitReason.START_FAILED
        if self._reported_reason is not None:
            return self._reported_reason
        return self._stop_sequence.reason or ExitReason.CRASHED

    def _unexplained_failure(self) -> AgentStartError:
        phase = str(self._lifecycle.state)
        exit_code = self._process.exit_code if self._process else None
        if self._stop_sequence.reason in _REQUESTED_REASONS:
            return AgentStartError(phase, "stopped", "stopped before it was ready")
        return AgentStartError(phase, "crashed", f"the process ended with exit code {exit_code}")


def _send_socket(link: Link[ChildMessage], message: AdoptSocket, descriptor: int) -> None:
    try:
        link.send_socket(message, descriptor)
    except LinkBrokenError as error:
        raise AgentGoneError from error
    except LinkBusyError as error:
        raise CommandRefusedError("busy", "the agent is busy; retry") from error
    except MessageRefusedError as error:
        raise CommandRefusedError("too_large", "too much was sent already") from error


def _ms_since(began_s: float) -> float:
    return round((time.monotonic() - began_s) * 1000, 1)

"""`AgentProcess`: one agent's process from its start to its reaping, as the supervisor holds it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from config import AgentConfig
from control.live.orders import Orders
from control.placement import (
    AgentGoneError,
    AgentStartError,
    AgentStatus,
    ExitRecord,
    Preparation,
    StopFailedError,
)
from control.processes.ending import Ending
from control.processes.link import (
    CHILD_MESSAGE,
    ChildMessage,
    Command,
    CommandDone,
    Event,
    Exiting,
    Forget,
    Link,
    LinkBrokenError,
    MessageRefusedError,
    Pong,
    Ready,
    Remember,
    RenewModel,
    Start,
    StartFailed,
    StateChanged,
)
from control.processes.started import StartedProcess
from control.processes.surroundings import Surroundings
from control.processes.watch import Action, Finding
from control.processes.watcher import Watcher
from conversation.lifecycle import AgentState, ExitReason, IllegalTransitionError, Lifecycle
from conversation.live_commands import CommandRefusedError, CommandResult, LiveCommand
from conversation.remembered import RememberedConversation
from utils import OwnedTasks, run_unless, wall_clock_ms

_log = logging.getLogger("control.process")

_LAST_WORDS_S = 1.0
# A process that dies before its first word was lost while it was idle: another one can do it.
_MAX_PROCESSES = 3
_ASKED_FOR = (ExitReason.STOPPED, ExitReason.DRAINED)
_TALKING = (AgentState.READY, AgentState.RUNNING)

T = TypeVar("T")


class AgentProcess:
    """One agent in one process. `run` is its whole life; everything else asks for things or looks."""

    def __init__(
        self,
        config: AgentConfig,
        surroundings: Surroundings,
        *,
        prepare: Preparation | None = None,
    ) -> None:
        loop = asyncio.get_running_loop()
        self.config = config
        self.timings_ms: dict[str, float] = {}
        self.exit: ExitRecord | None = None
        self.failure: AgentStartError | None = None
        # What the next process would have to be told.
        self.conversation = RememberedConversation(config.conversation_seed)
        # Whether its last state was that of an agent that ends a call with a word.
        self.was_saying_goodbye = False
        self._surroundings = surroundings
        self._deadlines = surroundings.deadlines
        self._prepare = prepare
        self._lifecycle = Lifecycle(self._handle_state)
        self._began_s = time.monotonic()
        self._process: StartedProcess | None = None
        self._watcher: Watcher | None = None
        self._has_spoken = False
        self._reported_reason: ExitReason | None = None
        self._link: Link[ChildMessage] | None = None
        self._orders = Orders()
        # Done when ready; fails with AgentStartError once nothing of a failed start is left.
        self._ready: asyncio.Future[None] = loop.create_future()
        self._ending = Ending(
            config.channel_name, self._deadlines, has_goodbye=config.goodbye is not None
        )
        # Set when the process is gone, or when it survived the whole ladder (`exit` is None then).
        self._stop_done = asyncio.Event()

    # -- looking ---------------------------------------------------------------------------------

    @property
    def pid(self) -> int | None:
        """None until the process exists."""
        return self._process.pid if self._process else None

    @property
    def is_ready(self) -> bool:
        """Whether it ever became ready."""
        return self._ready.done() and self._ready.exception() is None

    def status(self, last_exit: ExitRecord | None = None) -> AgentStatus:
        """What there is to know now; `last_exit` is passed through."""
        watcher = self._watcher
        age_s = watcher.heartbeat_age_s if watcher else None
        figures = watcher.figures if watcher else None
        return AgentStatus(
            agent_id=self.config.agent_id,
            channel_name=self.config.channel_name,
            uid=self.config.uid,
            state=self._lifecycle.state,
            pid=None if self.exit else self.pid,
            provider=self.config.provider.name,
            model=self.config.provider.model,
            uptime_s=self.exit.uptime_s if self.exit else self._uptime_s(),
            timings_ms=dict(self.timings_ms),
            loop_lag_ms=watcher.loop_lag_ms if watcher else None,
            private_bytes=figures.private_bytes if figures else None,
            pss_bytes=figures.pss_bytes if figures else None,
            descriptors=figures.descriptors if figures else None,
            vitals=watcher.vitals if watcher else None,
            remembered=len(self.conversation),
            heartbeat_age_s=None if age_s is None else round(age_s, 3),
            last_exit=last_exit,
        )

    def _uptime_s(self) -> float:
        return round(time.monotonic() - self._began_s, 3)

    # -- asking ----------------------------------------------------------------------------------

    async def wait_ready(self) -> None:
        """Return when the agent is ready.

        Raises:
            AgentStartError: it never became ready; its process is gone.
        """
        await asyncio.shield(self._ready)

    async def command(self, command: LiveCommand) -> CommandResult:
        """See `Placement.command`."""
        state, link = self._lifecycle.state, self._link
        is_ending = self._ending.reason is not None
        if state not in _TALKING or link is None or self._ending.is_link_over or is_ending:
            raise CommandRefusedError(
                "not_ready", f"the agent is {'ending' if is_ending else state}"
            )
        return await self._orders.ask(command, lambda message: self._send(link, message))

    def _send(self, link: Link[ChildMessage], message: Command) -> None:
        try:
            link.send(message)
        except LinkBrokenError as error:
            raise AgentGoneError from error
        except MessageRefusedError as error:
            raise CommandRefusedError("invalid_event", f"this is too much: {error}") from error

    async def stop(self, reason: ExitReason) -> ExitRecord:
        """End this run; returns when its process is gone.

        Raises:
            StopFailedError: SIGKILL had no effect within its deadline.
        """
        self._ending.want(reason)
        await self._stop_done.wait()
        if self.exit is None:
            raise StopFailedError(f"process {self.pid} survived SIGKILL")
        return self.exit

    def kill(self) -> None:
        """SIGKILL at once, without waiting."""
        self._ending.want(ExitReason.STOPPED)
        if self._process is not None:
            self._ending.kill(self._process)

    # -- living ----------------------------------------------------------------------------------

    async def run(self) -> None:
        """Live from preparation to reaping. Failures become the exit record, not exceptions."""
        try:
            await self._timed("model", self._run_preparation)
            for _ in range(_MAX_PROCESSES):
                if self._has_spoken or self._ending.reason is not None:
                    break
                process = await self._timed("process", self._take_process)
                if process is not None:
                    await self._live_in(process)
        except AgentStartError as error:
            self.failure = error
        except OSError as error:
            text = error.strerror or str(error)
            self.failure = AgentStartError("starting", "no_process", text)
        finally:
            self._settle()

    async def _timed(self, phase: str, step: Callable[[], Awaitable[T]]) -> T:
        began_s = time.monotonic()
        result = await step()
        self.timings_ms[phase] = _ms_since(began_s)
        return result

    async def _run_preparation(self) -> None:
        if self._prepare is not None:
            await run_unless(self._ending.wanted, _awaited(self._prepare))

    async def _take_process(self) -> StartedProcess | None:
        """None when the end is wanted before there is one."""
        source = self._surroundings.source
        return await run_unless(self._ending.wanted, source.start_process())

    async def _live_in(self, process: StartedProcess) -> None:
        """Everything between fork and reaping."""
        self._process = process
        self._link = link = await Link.open(process.sock, CHILD_MESSAGE)
        tasks = OwnedTasks(_log)
        try:
            self._send_start(link)
            self._watcher = watcher = self._create_watcher(process, link)
            listening = tasks.start(self._listen(link), name="listen")
            tasks.start(self._climb(link, process), name="stop ladder")
            tasks.start(watcher.run(link, self._deadlines.ping_interval_s), name="watcher")
            timer = asyncio.get_running_loop().call_later(
                self._deadlines.start_s, self._handle_start_timeout
            )
            try:
                await process.exited.wait()
            finally:
                timer.cancel()
            # Its last words may still be in the socket.
            await asyncio.wait([listening], timeout=_LAST_WORDS_S)
        finally:
            link.abort()
            await tasks.close()

    def _send_start(self, link: Link[ChildMessage]) -> None:
        try:
            link.send(Start(config=self.config.to_json()))
        except MessageRefusedError as error:
            text = f"the start cannot be told to a process: {error}"
            self.failure = AgentStartError("starting", "too_large", text, is_retryable=False)
            self._ending.want(ExitReason.START_FAILED)
            link.abort()

    def _create_watcher(self, process: StartedProcess, link: Link[ChildMessage]) -> Watcher:
        return Watcher(
            self.config.channel_name,
            process.pid,
            self._surroundings.figures,
            self._surroundings.limits,
            on_finding=lambda finding: self._handle_finding(finding, link),
        )

    def _handle_finding(self, finding: Finding, link: Link[ChildMessage]) -> None:
        self._surroundings.observers.handle_finding(self.config, finding)
        if finding.action is Action.WARN:
            return
        if finding.action is Action.RENEW_MODEL:
            link.send(RenewModel(reason=finding.sign))
            return
        self._ending.want(
            finding.exit_reason, problem=finding.text, is_polite=finding.action is Action.LEAVE
        )

    async def _listen(self, link: Link[ChildMessage]) -> None:
        try:
            while (message := await link.receive()) is not None:
                self._has_spoken = True
                self._handle_message(message)
                self._surroundings.observers.handle_message(self.config, message)
        except (LinkBrokenError, IllegalTransitionError) as error:
            _log.error("%s: link broken: %s", self.config.channel_name, error)
        if self._has_spoken:
            self._orders.close()
            self._ending.handle_link_over()

    def _handle_message(self, message: ChildMessage) -> None:
        match message:
            case StateChanged():
                self._follow(message.state)
            case Ready():
                self._handle_ready(message)
            case StartFailed():
                self.failure = AgentStartError(
                    message.phase, message.code, message.message, is_retryable=message.is_retryable
                )
            case Event():
                pass  # only for those who observe
            case Remember():
                self.conversation.update(message.entry)
            case Forget():
                self.conversation.forget(message.number)
            case Pong():
                assert self._watcher is not None
                self._watcher.handle_pong(message)
            case CommandDone():
                self._orders.handle_done(message)
            case Exiting():
                self._reported_reason = message.exit_reason

    def _follow(self, state: AgentState) -> None:
        # Only the reaped process is EXITED; until then it holds its channel.
        if state is not AgentState.EXITED:
            self._lifecycle.advance(state)

    def _handle_ready(self, message: Ready) -> None:
        self.timings_ms |= message.timings_ms
        self.timings_ms["total"] = _ms_since(self._began_s)
        self._surroundings.observers.handle_ready(self.config, self.timings_ms)
        if not self._ready.done():
            self._ready.set_result(None)

    def _handle_start_timeout(self) -> None:
        if not self._ready.done():
            state = self._lifecycle.state
            text = f"not ready after {self._deadlines.start_s:g} s, while {state}"
            self.failure = AgentStartError(str(state), "start_timeout", text)
            self._ending.want(ExitReason.START_FAILED)

    # -- ending ----------------------------------------------------------------------------------

    async def _climb(self, link: Link[ChildMessage], process: StartedProcess) -> None:
        if not await self._ending.climb(link, process):
            self._stop_done.set()

    def _settle(self) -> None:
        """The process is gone: say how it was, and let everybody who waits know."""
        process = self._process
        self._orders.close()
        self.was_saying_goodbye = self._lifecycle.state is AgentState.DRAINING
        self.exit = ExitRecord(
            agent_id=self.config.agent_id,
            channel_name=self.config.channel_name,
            uid=self.config.uid,
            pid=self.pid,
            exit_reason=self._exit_reason(),
            exit_code=process.exit_code if process else None,
            stopped_by=self._ending.rung,
            uptime_s=self._uptime_s(),
            ended_at_ms=wall_clock_ms(),
            error=str(self.failure) if self.failure else self._ending.problem,
            stacks=process.stacks if process else None,
        )
        if not self._ready.done():
            self._ready.set_exception(self.failure or self._unnamed_failure())
            self._ready.exception()  # Nobody may be waiting, and that is fine.
        self._lifecycle.advance(AgentState.EXITED)
        self._stop_done.set()

    def _exit_reason(self) -> ExitReason:
        if self.failure is not None and not self._ready.done():
            return ExitReason.START_FAILED
        if self._reported_reason is not None:
            return self._reported_reason
        return self._ending.reason or ExitReason.CRASHED

    def _unnamed_failure(self) -> AgentStartError:
        phase = str(self._lifecycle.state)
        exit_code = self._process.exit_code if self._process else None
        if self._ending.reason in _ASKED_FOR:
            return AgentStartError(phase, "stopped", "stopped before it was ready")
        return AgentStartError(phase, "crashed", f"the process ended with exit code {exit_code}")

    def _handle_state(self, old: AgentState, new: AgentState) -> None:
        _log.info("%s: agent %s -> %s", self.config.channel_name, old, new)


def _ms_since(began_s: float) -> float:
    return round((time.monotonic() - began_s) * 1000, 1)


async def _awaited(preparation: Preparation) -> None:
    await preparation()

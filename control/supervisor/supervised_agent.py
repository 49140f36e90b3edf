"""`SupervisedAgent`: one agent across restarts of its process, with one conversation."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Final

from bridge.adoption import Adoption
from config.agent import AgentConfig
from control.placement import AgentGoneError, AgentStatus, ExitRecord, Preparation
from control.supervisor.lifecycle import SupervisedLifecycle
from control.supervisor.process import AgentProcess, ProcessContext
from control.supervisor.restart import EndedRun, RestartBudget, RestartPolicy, Verdict, judge
from conversation.events.commands import (
    CommandRefusedError,
    CommandResult,
    LiveCommand,
    Update,
    config_changes,
)
from conversation.lifecycle import AgentState, ExitReason
from conversation.limits import CallLimits
from utils import run_unless, wall_clock_ms

_log = logging.getLogger("control.supervised_agent")

ADOPTION_WAIT_S: Final = 20.0
"""Of a client's connection for an agent that is starting, or restarting."""

# `max_duration_s` must be positive, also when the call is over its limit already.
_MIN_DURATION_S = 0.001


class SupervisedAgent:
    """Holds its channel while `run` runs. A lost process is replaced by one that resumes the
    conversation, as long as the restart policy allows.
    """

    def __init__(
        self,
        config: AgentConfig,
        context: ProcessContext,
        policy: RestartPolicy,
        *,
        prepare: Preparation | None = None,
        on_exit: Callable[[ExitRecord], None],
    ) -> None:
        """on_exit: called when a process is gone; `is_restarted` if another one follows."""
        # Processes lost so far.
        self.restarts = 0
        # Exit of the last process; None during the first one.
        self.last_exit: ExitRecord | None = None
        # Updated by commands; the configuration of the next process.
        self._config = config
        self._context = context
        self._prepare = prepare
        self._on_exit = on_exit
        self._budget = RestartBudget(policy)
        self._began_s = time.monotonic()
        self._lifecycle = SupervisedLifecycle(config.channel_name, self._handle_state)
        self._process = self._create_process(config)
        # Of any process: a call that was never ready is not restarted.
        self._has_been_ready = False
        self._stop_requested: asyncio.Future[ExitReason] = (
            asyncio.get_running_loop().create_future()
        )
        # Set at each change of state, for `adopt`.
        self._changed = asyncio.Event()
        # Set when `run` is over and `last_exit` is final.
        self._ended = asyncio.Event()

    def _create_process(self, config: AgentConfig) -> AgentProcess:
        return AgentProcess(config, self._context, self._lifecycle, prepare=self._prepare)

    def _handle_state(self, state: AgentState, at_ms: int) -> None:
        self._changed.set()
        self._context.observers.handle_state(self._process.config, state, at_ms=at_ms)

    @property
    def call_id(self) -> str:
        """Call id, the same for all processes of the agent."""
        return self._config.agent_id

    @property
    def team(self) -> str:
        """Team of the key that started it."""
        return self._config.team

    def forget_entries_before(self, number: int) -> None:
        """Drop conversation entries before this number: a replacement process does not get them."""
        self._process.conversation.forget_before(number)

    # -- status ----------------------------------------------------------------------------------

    def status(self, last_exit: ExitRecord | None = None) -> AgentStatus:
        """Return the present status. last_exit: of the channel's previous run."""
        uptime_s = round(time.monotonic() - self._began_s, 3)
        status = self._process.status(self.last_exit or last_exit)
        return status.model_copy(update={"restarts": self.restarts, "uptime_s": uptime_s})

    @property
    def cpu_s(self) -> tuple[int, float] | None:
        """Pid of the process and the processor seconds it has used; None while unknown."""
        pid, cpu_s = self._process.pid, self._process.cpu_s
        return None if pid is None or cpu_s is None else (pid, cpu_s)

    def is_fresh(self, age_s: float) -> bool:
        """Return true if the agent is younger than `age_s` or has not been ready yet."""
        is_ready = self._has_been_ready or self._process.is_ready
        return not is_ready or time.monotonic() - self._began_s < age_s

    # -- requests --------------------------------------------------------------------------------

    async def wait_ready(self) -> None:
        """Return when the agent is ready for the first time.

        Raises:
            AgentStartError: it never became ready; its process is gone.
        """
        await self._process.wait_ready()

    async def command(self, command: LiveCommand) -> CommandResult:
        """See `Placement.command`. Configuration changes apply to replacement processes too."""
        if not self._lifecycle.has_process:
            raise CommandRefusedError("not_ready", f"the agent is {self._lifecycle.state}")
        result = await self._process.command(command)
        agent = command.agent if isinstance(command, Update) else ""
        self._config = self._config.updated(config_changes(command), agent=agent)
        return result

    async def adopt(self, descriptor: int, adoption: Adoption) -> None:
        """See `Placement.adopt`. While the process is starting, or is replaced, this waits."""
        try:
            async with asyncio.timeout(ADOPTION_WAIT_S):
                await self._adopt(descriptor, adoption)
        except TimeoutError:
            raise CommandRefusedError("not_ready", "the agent is not ready") from None

    async def _adopt(self, descriptor: int, adoption: Adoption) -> None:
        while not self._ended.is_set():
            self._changed.clear()
            if self._process.can_adopt:
                try:
                    await self._process.adopt(descriptor, adoption)
                except AgentGoneError:
                    # It was lost at this moment; a change of state follows.
                    _log.info(
                        "%s: a connection waits for another process", self._config.channel_name
                    )
                else:
                    return
            await self._changed.wait()
        raise AgentGoneError

    async def stop(self, reason: ExitReason) -> ExitRecord:
        """Stop the agent without a restart; returns when its process is gone.

        Raises:
            StopFailedError: SIGKILL had no effect within its deadline.
        """
        self._request_stop(reason)
        await self._process.stop(reason)
        await self._ended.wait()
        assert self.last_exit is not None
        return self.last_exit

    def kill(self) -> None:
        """Send SIGKILL without waiting for the exit; no restart follows."""
        self._request_stop(ExitReason.STOPPED)
        self._process.kill()

    def _request_stop(self, reason: ExitReason) -> None:
        if not self._stop_requested.done():
            self._stop_requested.set_result(reason)

    # -- lifetime --------------------------------------------------------------------------------

    async def run(self) -> None:
        """Run from the first process to the end of the last one."""
        try:
            while True:
                self._context.observers.handle_start(self._process.config, restarts=self.restarts)
                self._lifecycle.enter(AgentState.STARTING, at_ms=wall_clock_ms())
                await self._process.run()
                self._has_been_ready = self._has_been_ready or self._process.is_ready
                verdict = self._judge()
                self._record_exit(verdict)
                if verdict.delay_s is None or not await self._wait_backoff(verdict.delay_s):
                    return
                self._replace_process()
        finally:
            self._ended.set()
            self._changed.set()

    def _judge(self) -> Verdict:
        record, failure = self._process.exit, self._process.failure
        assert record is not None
        run = EndedRun(
            record.exit_reason,
            has_been_ready=self._has_been_ready,
            is_retryable=failure is None or failure.is_retryable,
            is_stop_requested=self._stop_requested.done(),
            was_saying_goodbye=self._process.was_saying_goodbye,
        )
        return judge(run, self._budget, now_s=time.monotonic())

    def _record_exit(self, verdict: Verdict) -> None:
        record = self._process.exit
        assert record is not None
        is_restarted = verdict.delay_s is not None
        state = AgentState.BACKOFF if is_restarted else AgentState.EXITED
        if verdict.fatal is not None:
            error = f"{record.error}; {verdict.fatal}" if record.error else verdict.fatal
            record = record.model_copy(update={"error": error, "is_given_up": True})
            _log.error("%s: given up: %s", record.channel_name, error)
            state = AgentState.FATAL
        self.last_exit = record.model_copy(update={"is_restarted": is_restarted})
        self._lifecycle.enter(state, at_ms=record.ended_at_ms)
        self._on_exit(self.last_exit)

    async def _wait_backoff(self, delay_s: float) -> bool:
        """Wait before a restart; false if a stop was requested meanwhile."""
        await run_unless(self._stop_requested, asyncio.sleep(delay_s))
        if not self._stop_requested.done():
            return True
        assert self.last_exit is not None
        update = {"exit_reason": self._stop_requested.result(), "is_restarted": False}
        self.last_exit = self.last_exit.model_copy(update=update)
        self._lifecycle.enter(AgentState.EXITED, at_ms=wall_clock_ms())
        self._on_exit(self.last_exit)
        return False

    def _replace_process(self) -> None:
        """Create a process that resumes the conversation as the lost one reported it."""
        self.restarts += 1
        lost = self._process
        changes: dict[str, object] = {
            "conversation_seed": lost.conversation.seed(),
            "limits": self._remaining_limits(lost),
        }
        if (limit_s := self._config.max_duration_s) is not None:
            left_s = limit_s - (time.monotonic() - self._began_s)
            changes["max_duration_s"] = max(_MIN_DURATION_S, left_s)
        _log.warning("%s: restart %d", self._config.channel_name, self.restarts)
        self._process = self._create_process(self._config.model_copy(update=changes))

    def _remaining_limits(self, lost: AgentProcess) -> CallLimits:
        """Return the call's limits minus its usage up to the lost process's last heartbeat."""
        limits, vitals = lost.config.limits, lost.status().vitals
        if vitals is None:
            return limits
        spent = {"spent_tokens": vitals.tokens, "spent_cost": vitals.cost}
        return limits.model_copy(update=spent)

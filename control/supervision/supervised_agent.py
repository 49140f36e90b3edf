"""`SupervisedAgent`: one agent over however many processes it takes, with one conversation."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from config import AgentConfig
from control.placement import AgentStatus, ExitRecord, Preparation
from control.processes.process import AgentProcess
from control.processes.surroundings import Surroundings
from control.supervision.restart import EndedRun, RestartBudget, RestartPolicy, Verdict, judge
from conversation.lifecycle import AgentState, ExitReason
from conversation.limits import CallLimits
from conversation.live_commands import (
    CommandRefusedError,
    CommandResult,
    LiveCommand,
    config_changes,
)
from utils import run_unless

_log = logging.getLogger("control.supervised_agent")

_SHORTEST_CALL_S = 0.001


class SupervisedAgent:
    """Holds its channel from `run`'s beginning to its end. A process that is lost is replaced by one
    that goes on with the conversation, as long as the policy allows.
    """

    def __init__(
        self,
        config: AgentConfig,
        surroundings: Surroundings,
        policy: RestartPolicy,
        *,
        prepare: Preparation | None = None,
        on_exit: Callable[[ExitRecord], None],
    ) -> None:
        """on_exit: called when a process is gone; `is_restarted` says whether another one follows."""
        self.restarts = 0
        # How the last process ended, and with it perhaps all.
        self.last_exit: ExitRecord | None = None
        self._config = config
        self._surroundings = surroundings
        self._prepare = prepare
        self._on_exit = on_exit
        self._budget = RestartBudget(policy)
        self._began_s = time.monotonic()
        self._process = self._create_process(config)
        self._has_been_ready = False
        # Set while there is no process: BACKOFF, and in the end EXITED or FATAL.
        self._resting: AgentState | None = None
        self._stop_wanted: asyncio.Future[ExitReason] = asyncio.get_running_loop().create_future()
        self._ended = asyncio.Event()

    def _create_process(self, config: AgentConfig) -> AgentProcess:
        return AgentProcess(config, self._surroundings, prepare=self._prepare)

    @property
    def call_id(self) -> str:
        """Of all its processes."""
        return self._config.agent_id

    def forget_words(self, before: int) -> None:
        """The next process, should there be one, is not told what is before this place of the
        conversation.
        """
        self._process.conversation.forget_before(before)

    # -- looking ---------------------------------------------------------------------------------

    def status(self, last_exit: ExitRecord | None = None) -> AgentStatus:
        """What there is to know now. last_exit: of the run before this one"""
        changes: dict[str, object] = {"restarts": self.restarts}
        if self.restarts or self._resting is not None:
            changes["uptime_s"] = round(time.monotonic() - self._began_s, 3)
        if self._resting is not None:
            changes |= {"state": self._resting, "pid": None}
        status = self._process.status(self.last_exit or last_exit)
        return status.model_copy(update=changes)

    def is_fresh(self, age_s: float) -> bool:
        """Whether it is younger than that, or was never ready yet."""
        is_ready = self._has_been_ready or self._process.is_ready
        return not is_ready or time.monotonic() - self._began_s < age_s

    # -- asking ----------------------------------------------------------------------------------

    async def wait_ready(self) -> None:
        """Return when the agent is ready for the first time.

        Raises:
            AgentStartError: it never became ready; its process is gone.
        """
        await self._process.wait_ready()

    async def command(self, command: LiveCommand) -> CommandResult:
        """See `Placement.command`. What it changes of the agent holds for later processes too."""
        if self._resting is not None:
            raise CommandRefusedError("not_ready", f"the agent is {self._resting}")
        result = await self._process.command(command)
        self._config = self._config.model_copy(update=config_changes(command))
        return result

    async def stop(self, reason: ExitReason) -> ExitRecord:
        """End it for good; returns when its process is gone.

        Raises:
            StopFailedError: SIGKILL had no effect within its deadline.
        """
        self._want_stop(reason)
        await self._process.stop(reason)
        await self._ended.wait()
        assert self.last_exit is not None
        return self.last_exit

    def kill(self) -> None:
        """SIGKILL at once, without waiting, and for good."""
        self._want_stop(ExitReason.STOPPED)
        self._process.kill()

    def _want_stop(self, reason: ExitReason) -> None:
        if not self._stop_wanted.done():
            self._stop_wanted.set_result(reason)

    # -- living ----------------------------------------------------------------------------------

    async def run(self) -> None:
        """Live from the first process to the end of the last."""
        try:
            while True:
                self._surroundings.observers.handle_start(
                    self._process.config, restarts=self.restarts
                )
                await self._process.run()
                self._has_been_ready = self._has_been_ready or self._process.is_ready
                verdict = self._judge()
                self._note_exit(verdict)
                if verdict.delay_s is None or not await self._pause(verdict.delay_s):
                    return
                self._revive()
        finally:
            self._ended.set()

    def _judge(self) -> Verdict:
        record, failure = self._process.exit, self._process.failure
        assert record is not None
        run = EndedRun(
            record.exit_reason,
            has_been_ready=self._has_been_ready,
            is_retryable=failure is None or failure.is_retryable,
            is_stop_wanted=self._stop_wanted.done(),
            was_saying_goodbye=self._process.was_saying_goodbye,
        )
        return judge(run, self._budget, now_s=time.monotonic())

    def _note_exit(self, verdict: Verdict) -> None:
        record = self._process.exit
        assert record is not None
        is_restarted = verdict.delay_s is not None
        if verdict.fatal is not None:
            error = f"{record.error}; {verdict.fatal}" if record.error else verdict.fatal
            record = record.model_copy(update={"error": error, "is_given_up": True})
            _log.error("%s: given up: %s", record.channel_name, error)
        self._resting = AgentState.FATAL if verdict.fatal is not None else AgentState.EXITED
        if is_restarted:
            self._resting = AgentState.BACKOFF
        self.last_exit = record.model_copy(update={"is_restarted": is_restarted})
        self._on_exit(self.last_exit)

    async def _pause(self, delay_s: float) -> bool:
        """Wait before the restart; False when the agent was stopped meanwhile."""
        await run_unless(self._stop_wanted, asyncio.sleep(delay_s))
        if not self._stop_wanted.done():
            return True
        assert self.last_exit is not None
        self._resting = AgentState.EXITED
        update = {"exit_reason": self._stop_wanted.result(), "is_restarted": False}
        self.last_exit = self.last_exit.model_copy(update=update)
        self._on_exit(self.last_exit)
        return False

    def _revive(self) -> None:
        """Another process, with the conversation as the lost one told it."""
        self.restarts += 1
        lost = self._process
        changes: dict[str, object] = {
            "conversation_seed": lost.conversation.seed(),
            "limits": self._limits_left(lost),
        }
        if (limit_s := self._config.max_duration_s) is not None:
            left_s = limit_s - (time.monotonic() - self._began_s)
            changes["max_duration_s"] = max(_SHORTEST_CALL_S, left_s)
        _log.warning("%s: restart %d", self._config.channel_name, self.restarts)
        self._process = self._create_process(self._config.model_copy(update=changes))
        self._resting = None

    def _limits_left(self, lost: AgentProcess) -> CallLimits:
        """What the call has spent is spent, as of the lost process's last heartbeat."""
        limits, vitals = lost.config.limits, lost.status().vitals
        if vitals is None:
            return limits
        spent = {"spent_tokens": vitals.tokens, "spent_cost": vitals.cost}
        return limits.model_copy(update=spent)

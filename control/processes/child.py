"""The agent process: what happens between its fork and its exit.

It waits for its start as long as its supervisor wants, obeys its link and SIGTERM, ignores SIGINT (a
terminal's Ctrl-C is the server's business), writes all stacks to its supervisor's file on SIGUSR1,
and never outlives its parent.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import os
import signal
import socket
import time
from collections.abc import Callable, Sequence
from enum import IntEnum
from typing import Any, Final, Protocol, cast

from boundary import unowned_failures
from config import AgentConfig
from control.processes.link import (
    PARENT_MESSAGE,
    Command,
    CommandDone,
    Event,
    Exiting,
    Link,
    LinkBrokenError,
    MessageRefusedError,
    ParentMessage,
    Ping,
    Pong,
    Ready,
    RenewModel,
    Start,
    StartFailed,
    StateChanged,
    Stop,
)
from control.processes.remembering import Remembering
from control.processes.stacks import StackFile
from conversation.lifecycle import AgentState, ExitReason
from conversation.live_commands import CommandRefusedError, CommandResult, LiveCommand
from conversation.remembered import RememberedEntry
from conversation.server_events import ServerEvent
from conversation.vitals import Vitals
from logs import configure_logging, flush_logs, guard_standard_output
from logs.secrets import secrets_of
from utils import OwnedTasks, wall_clock_ms

DEFAULT_ENTRY: Final = "agent:RealtimeKitAgent"
_GONE_DEADLINE_S: Final = 3.0
_FLUSH_DEADLINE_S: Final = 1.0
_LAG_INTERVAL_S: Final = 0.25
_MAX_ERROR_CHARACTERS: Final = 500

_log = logging.getLogger("control.child")


class ExitCode(IntEnum):
    """Why the process exited; a negative code is a signal's number."""

    OK = 0
    CRASHED = 1
    START_FAILED = 3
    SUPERVISOR_GONE = 4
    LINK_BROKEN = 5


class RunnableAgent(Protocol):
    """The part of `agent.RealtimeKitAgent` that its process uses."""

    timings_ms: dict[str, float]

    async def run(self) -> ExitReason:
        """Live until done; may raise an error with `phase` and `code` when never ready."""
        ...

    def stop(self, reason: ExitReason = ...) -> None:
        """Ask for a graceful end."""
        ...

    def conversation(self) -> Sequence[RememberedEntry]:
        """The recent part of what another process would need to know to go on."""
        ...

    def vitals(self) -> Vitals:
        """How the call is now."""
        ...

    async def obey(self, command: LiveCommand) -> CommandResult:
        """Carry out what the agent's owner asks; raises CommandRefusedError."""
        ...

    def renew_model(self, reason: str) -> None:
        """Give up the provider's session for a new one."""
        ...


class LoopLag:
    """Notices how late the loop runs its timers; `take_ms` gives the worst since last asked."""

    def __init__(self) -> None:
        self._worst_s = 0.0

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            began_s = time.monotonic()
            await asyncio.sleep(_LAG_INTERVAL_S)
            self._worst_s = max(self._worst_s, time.monotonic() - began_s - _LAG_INTERVAL_S)

    def take_ms(self) -> float:
        """The worst lateness in milliseconds; forgets it."""
        worst_s, self._worst_s = self._worst_s, 0.0
        return round(worst_s * 1000, 1)


class AgentHost:
    """One agent between its link and its signals."""

    def __init__(
        self, link: Link[ParentMessage], config: AgentConfig, entry: str, stacks: StackFile
    ) -> None:
        """entry: `module:name` of the agent's class; stacks: where SIGUSR1 has them written."""
        self._link = link
        self._config = config
        self._entry = entry
        self._stacks = stacks
        self._agent: RunnableAgent | None = None
        self._running: asyncio.Task[ExitReason] | None = None
        self._is_stopping = False
        self._is_supervisor_gone = False
        self._lag = LoopLag()
        self._remembering = Remembering(config.conversation_seed, self._send)
        self._tasks = OwnedTasks(_log)

    async def run(self) -> ExitCode:
        """Run the agent until it ended or must end, and tell the supervisor how it went."""
        asyncio.get_running_loop().set_exception_handler(unowned_failures(_log))
        self._tasks.start(self._lag.run(), name="loop lag")
        try:
            self._running = self._tasks.start(self._run_agent(), name="agent")
            self._tasks.start(self._obey(), name="link")
            await asyncio.wait([self._running])
            return self._report_end(self._running)
        finally:
            await self._tasks.close()

    async def _run_agent(self) -> ExitReason:
        # Made in the first step of this task, before anything can ask us to stop it.
        self._agent = agent = _load_agent(self._entry)(self._config, self)
        self._handle_signals()
        self._tasks.start(self._remembering.run(agent.conversation), name="remembering")
        return await agent.run()

    # -- what the agent says (`agent.AgentObserver`) ---------------------------------------------

    def handle_state(self, old: AgentState, new: AgentState) -> None:
        """Pass the step on; when ready, with the timings of the start."""
        self._send(StateChanged(state=new, at_ms=wall_clock_ms()))
        if new is AgentState.STOPPING and self._agent is not None:
            self._remembering.finish(self._agent.conversation())
        if new is AgentState.READY and old is AgentState.CONNECTING:
            # The agent completes its timings in the same step of the loop.
            asyncio.get_running_loop().call_soon(self._report_ready)

    def handle_event(self, event: ServerEvent) -> None:
        """Pass the event on."""
        self._send(Event(event=event))
        self._remembering.handle_event(event)

    # -- what the supervisor says ----------------------------------------------------------------

    async def _obey(self) -> None:
        try:
            while (message := await self._link.receive()) is not None:
                self._handle_message(message)
        except LinkBrokenError as error:
            _log.error("the link is broken: %s", error)
        self._is_supervisor_gone = True
        self._stop(ExitReason.SUPERVISOR_GONE, _GONE_DEADLINE_S)

    def _handle_message(self, message: ParentMessage) -> None:
        match message:
            case Ping():
                self._handle_ping(message)
            case Stop():
                self._stop(message.reason, message.deadline_s)
            case RenewModel():
                assert self._agent is not None
                self._agent.renew_model(message.reason)
            case Command():
                self._tasks.start(self._carry_out(message), name="command")
            case Start():
                raise LinkBrokenError("start may come only once")

    async def _carry_out(self, message: Command) -> None:
        assert self._agent is not None
        try:
            result = await self._agent.obey(message.command)
        except CommandRefusedError as error:
            done = CommandDone(number=message.number, code=error.code, message=str(error))
        else:
            done = CommandDone(number=message.number, result=result)
        try:
            self._send(done)
        except MessageRefusedError as error:
            text = f"it was carried out, and the answer cannot be told: {error}"
            self._send(CommandDone(number=message.number, code="answer_lost", message=text))

    def _handle_ping(self, ping: Ping) -> None:
        assert self._agent is not None
        lag_ms = self._lag.take_ms()
        self._send(Pong(n=ping.n, loop_lag_ms=lag_ms, vitals=self._agent.vitals()))

    def _handle_signals(self) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._handle_sigterm)
        self._stacks.dump_on_signal(loop)

    def _handle_sigterm(self) -> None:
        if self._is_stopping:
            self._cancel()
        else:
            self._stop(ExitReason.STOPPED, _GONE_DEADLINE_S)

    def _stop(self, reason: ExitReason, deadline_s: float) -> None:
        assert self._agent is not None
        self._agent.stop(reason)
        if not self._is_stopping:
            self._is_stopping = True
            asyncio.get_running_loop().call_later(deadline_s, self._cancel)

    def _cancel(self) -> None:
        """The polite way took too long."""
        if self._running is not None:
            self._running.cancel()

    # -- what we say -----------------------------------------------------------------------------

    def _send(self, message: Any) -> None:
        try:
            self._link.send(message)
        except LinkBrokenError:
            _log.exception("the supervisor does not read")

    def _report_ready(self) -> None:
        assert self._agent is not None
        self._send(Ready(timings_ms=self._agent.timings_ms))

    def _report_end(self, running: asyncio.Task[ExitReason]) -> ExitCode:
        """Name the end; `OwnedTasks` has already logged a failure."""
        if self._is_supervisor_gone:
            return ExitCode.SUPERVISOR_GONE
        if running.cancelled():
            return ExitCode.CRASHED
        if (error := running.exception()) is None:
            self._send(Exiting(exit_reason=running.result()))
            return ExitCode.OK
        if isinstance(phase := getattr(error, "phase", None), str):
            code = str(getattr(error, "code", "failed"))
            is_retryable = bool(getattr(error, "is_retryable", True))
            self._send(
                StartFailed(phase=phase, code=code, message=str(error), is_retryable=is_retryable)
            )
            return ExitCode.START_FAILED
        text = f"{type(error).__name__}: {error}"[:_MAX_ERROR_CHARACTERS]
        self._send(StartFailed(phase="starting", code="crashed", message=text))
        return ExitCode.CRASHED


def _load_agent(entry: str) -> Callable[[AgentConfig, AgentHost], RunnableAgent]:
    module, _, name = entry.partition(":")
    return cast("Callable[..., RunnableAgent]", getattr(importlib.import_module(module), name))


def _log_context(config: AgentConfig) -> dict[str, Any]:
    return {
        "channel": config.channel_name,
        "agent_id": config.agent_id,
        "uid": config.uid,
        "pid": os.getpid(),
    }


async def _serve(sock: socket.socket, entry: str, stacks: StackFile) -> ExitCode:
    link = await Link.open(sock, PARENT_MESSAGE)
    try:
        # However long that takes: the link's end is the only other thing that can come.
        first = await link.receive()
        if first is None:
            return ExitCode.SUPERVISOR_GONE
        if not isinstance(first, Start):
            return ExitCode.LINK_BROKEN
        config = AgentConfig.model_validate(first.config)
        configure_logging(
            config.log_level,
            log_format=config.log_format,
            context=_log_context(config),
            secrets=secrets_of(config),
        )
        # What tools print is no reason to wait either.
        guard_standard_output()
        return await AgentHost(link, config, entry, stacks).run()
    except (LinkBrokenError, ValueError) as error:
        _log.error("no start came over the link: %s", type(error).__name__)
        return ExitCode.LINK_BROKEN
    finally:
        await link.flush(_FLUSH_DEADLINE_S)


def main(sock: socket.socket, stacks: StackFile, entry: str = DEFAULT_ENTRY) -> ExitCode:
    """Be an agent process, in a fresh fork that is tied to its server (`forkserver_main`)."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        return asyncio.run(_serve(sock, entry, stacks))
    except Exception:  # noqa: BLE001 - whatever it is, it is told before the process ends
        _log.critical("the agent process ends", exc_info=True)
        return ExitCode.CRASHED
    finally:
        # An agent process ends without what is registered for the end.
        flush_logs()

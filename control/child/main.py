"""Main module of an agent process, from its fork to its exit.

The process waits on its link for `Start` without a deadline, runs one agent, and exits. It stops on a
message or SIGTERM, ignores SIGINT (a terminal's Ctrl-C is handled by the server), dumps all stacks
into its stack file on SIGUSR1, and exits when the supervisor is gone.
"""

from __future__ import annotations

import asyncio
import importlib
import itertools
import logging
import os
import signal
import socket
import time
from collections.abc import Callable, Sequence
from enum import IntEnum
from typing import Any, Final, Protocol, cast

from bridge.adoption import Adoption, BridgeRefusedError
from bridge.combined_line import CombinedLine
from bridge.participant import Place
from bridge.participants import BridgeParticipants
from config.agent import AgentConfig
from control.child.conversation_sync import ConversationSync
from control.child.entry import DEFAULT_ENTRY
from control.child.stack_dump import StackFile
from control.ipc.link import (
    PARENT_MESSAGE,
    AdoptSocket,
    AskMemory,
    Command,
    CommandDone,
    Event,
    Exiting,
    Link,
    LinkBrokenError,
    MemoryAnswered,
    MessageRefusedError,
    OwnerFailed,
    ParentMessage,
    Ping,
    Pong,
    Ready,
    RememberCall,
    RenewModel,
    Start,
    StartFailed,
    StateChanged,
    Stop,
)
from conversation.events.commands import CommandRefusedError, CommandResult, LiveCommand
from conversation.events.server_events import ServerEvent
from conversation.lifecycle import AgentStartError, AgentState, ExitReason
from conversation.memory import MemoryAnswer, MemoryRequest
from conversation.owner_failure import OwnerFailure
from conversation.snapshot import SnapshotEntry
from conversation.vitals import Vitals
from line.audio_tap import AudioTap
from line.line import Line
from logs import configure_logging, flush_logs, guard_standard_output
from logs.secrets import secrets_of
from session.channel_setup import create_channel
from session.definition import own_secrets
from shared_ticks import until_tick_s
from untrusted.boundary import unowned_failures
from utils import OwnedTasks, wall_clock_ms

# For a graceful stop without a deadline of the supervisor's: its end, or SIGTERM.
_GONE_DEADLINE_S: Final = 3.0
# For the supervisor to read the last messages.
_FLUSH_DEADLINE_S: Final = 1.0
# Shorter stalls than this are not measured reliably, and matter less.
_LAG_INTERVAL_S: Final = 0.25
_MAX_ERROR_CHARACTERS: Final = 500

MAX_MEMORY_REQUESTS: Final = 8
MEMORY_DEADLINE_S: Final = 7.0
"""Longer than the server's own deadline."""

_log = logging.getLogger("control.child")


class ExitCode(IntEnum):
    """Exit code of an agent process."""

    OK = 0
    CRASHED = 1
    START_FAILED = 3
    SUPERVISOR_GONE = 4
    LINK_BROKEN = 5


class RunnableAgent(Protocol):
    """Part of `agent.RealtimeKitAgent` that its process uses."""

    timings_ms: dict[str, float]

    async def run(self) -> ExitReason:
        """Run until the call is over; return why it ended.

        Raises:
            AgentStartError: it never became ready.
        """
        ...

    def stop(self, reason: ExitReason = ...) -> None:
        """Request a graceful end."""
        ...

    def conversation(self) -> Sequence[SnapshotEntry]:
        """Return the recent part of the conversation, from which a replacement could resume."""
        ...

    def vitals(self) -> Vitals:
        """Return the present figures of the call."""
        ...

    def save_work(self, *, is_wanted: bool) -> None:
        """Use less processor time while `is_wanted`."""
        ...

    async def execute(self, command: LiveCommand) -> CommandResult:
        """Execute an API command.

        Raises:
            CommandRefusedError: nothing was done.
        """
        ...

    def renew_model(self, reason: str) -> None:
        """Replace the provider's session by a new one."""
        ...


class LoopLag:
    """Measure how late the event loop runs its timers."""

    def __init__(self) -> None:
        self._worst_s = 0.0

    async def run(self) -> None:
        """Measure until cancelled."""
        while True:
            began_s = time.monotonic()
            pause_s = until_tick_s(_LAG_INTERVAL_S, began_s)
            await asyncio.sleep(pause_s)
            self._worst_s = max(self._worst_s, time.monotonic() - began_s - pause_s)

    def take_ms(self) -> float:
        """Return and reset the worst lateness in milliseconds."""
        worst_s, self._worst_s = self._worst_s, 0.0
        return round(worst_s * 1000, 1)


class AgentHost:
    """Run one agent, connected to its link and its signals."""

    def __init__(
        self, link: Link[ParentMessage], config: AgentConfig, entry: str, stacks: StackFile
    ) -> None:
        """
        Args:
            link: to the supervisor.
            config: of the agent.
            entry: `module:name` of the agent's class.
            stacks: file for the stack dump on SIGUSR1.
        """
        self._link = link
        self._config = config
        self._entry = entry
        self._stacks = stacks
        self._agent: RunnableAgent | None = None
        # With the agent's line.
        self._bridge: BridgeParticipants | None = None
        self._running: asyncio.Task[ExitReason] | None = None
        # True after the first stop; a second SIGTERM cancels the agent.
        self._is_stopping = False
        # True once the link has ended.
        self._is_supervisor_gone = False
        self._lag = LoopLag()
        self._numbers = itertools.count()
        self._memory_answers: dict[int, asyncio.Future[MemoryAnswer]] = {}
        self._conversation_sync = ConversationSync(config.conversation_seed, self._send)
        self._tasks = OwnedTasks(_log)

    async def run(self) -> ExitCode:
        """Run the agent until it ends or is stopped, and report the end to the supervisor."""
        asyncio.get_running_loop().set_exception_handler(unowned_failures(_log))
        self._tasks.start(self._lag.run(), name="loop lag")
        try:
            self._running = self._tasks.start(self._run_agent(), name="agent")
            self._tasks.start(self._read_link(), name="link")
            await asyncio.wait([self._running])
            return self._report_end(self._running)
        finally:
            await self._tasks.close()

    async def _run_agent(self) -> ExitReason:
        # Created in the first step of this task, before any message can stop it.
        self._agent = agent = _load_agent(self._entry)(self._config, self, line=self._create_line)
        self._handle_signals()
        self._tasks.start(self._conversation_sync.run(agent.conversation), name="conversation sync")
        return await agent.run()

    # -- what the agent says (`agent.AgentObserver`) ---------------------------------------------

    def handle_state(self, old: AgentState, new: AgentState) -> None:
        """Report the step; when ready, report the timings of the start too."""
        self._send(StateChanged(state=new, at_ms=wall_clock_ms()))
        if new is AgentState.STOPPING and self._agent is not None:
            self._conversation_sync.finish(self._agent.conversation())
        if new is AgentState.READY and old is AgentState.CONNECTING:
            # The agent completes its timings in the present loop iteration, after this call.
            asyncio.get_running_loop().call_soon(self._report_ready)

    def handle_event(self, event: ServerEvent) -> None:
        """Forward the event to the supervisor."""
        self._send(Event(event=event, at_ms=wall_clock_ms()))
        self._conversation_sync.handle_event(event)

    def handle_call_state(self, state: str, agent: str) -> None:
        """Have the supervisor keep the owner's state and the definition that has the floor."""
        self._send(RememberCall(state=state, agent=agent))

    def handle_owner_failure(self, failure: OwnerFailure) -> None:
        """Have the supervisor record a failure of the owner's code."""
        self._send(OwnerFailed(failure=failure))

    async def ask_memory(self, request: MemoryRequest) -> MemoryAnswer:
        """Have the server answer a request to the memory of this call's key."""
        if len(self._memory_answers) >= MAX_MEMORY_REQUESTS:
            return MemoryAnswer(problem="too many requests at once")
        number = next(self._numbers)
        answer: asyncio.Future[MemoryAnswer] = asyncio.get_running_loop().create_future()
        self._memory_answers[number] = answer
        try:
            self._send(AskMemory(number=number, request=request))
            async with asyncio.timeout(MEMORY_DEADLINE_S):
                return await answer
        except TimeoutError:
            return MemoryAnswer(problem="the memory cannot be reached now")
        finally:
            del self._memory_answers[number]

    # -- messages of the supervisor --------------------------------------------------------------

    async def _read_link(self) -> None:
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
            case MemoryAnswered():
                answer = self._memory_answers.get(message.number)
                if answer is not None and not answer.done():
                    answer.set_result(message.answer)
            case Command():
                self._tasks.start(self._execute_command(message), name="command")
            case AdoptSocket():
                sock = self._link.take_socket()
                self._tasks.start(self._adopt_socket(message, sock), name="adoption")
            case Start():
                raise LinkBrokenError("start may come only once")

    async def _execute_command(self, message: Command) -> None:
        assert self._agent is not None
        try:
            result = await self._agent.execute(message.command)
        except CommandRefusedError as error:
            done = CommandDone(number=message.number, code=error.code, message=str(error))
        else:
            done = CommandDone(number=message.number, result=result)
        try:
            self._send(done)
        except MessageRefusedError as error:
            text = f"the command was executed, but its answer cannot be sent: {error}"
            self._send(CommandDone(number=message.number, code="answer_lost", message=text))

    async def _adopt_socket(self, message: AdoptSocket, sock: socket.socket | None) -> None:
        done = CommandDone(number=message.number)
        try:
            await self._take_over(sock, message.adoption)
        except BridgeRefusedError as error:
            done = CommandDone(number=message.number, code=error.code, message=error.message)
        self._send(done)

    async def _take_over(self, sock: socket.socket | None, adoption: Adoption) -> None:
        if sock is None:
            raise BridgeRefusedError("busy", "the agent has no descriptor left")
        if self._bridge is None:
            sock.close()
            raise BridgeRefusedError("not_ready", "this agent takes no connections")
        await self._bridge.adopt(sock, adoption)

    def _create_line(self, sample_rate_hz: int, *, tap: AudioTap | None) -> Line:
        """The agent's room, with the clients of the bridge as further participants."""
        config = self._config
        room = create_channel(config, sample_rate_hz, tap=tap)
        place = Place(config.channel_name, config.agent_id, config.name, sample_rate_hz, tap)
        self._bridge = BridgeParticipants(
            place,
            keep_s=config.rejoin_grace_s,
            is_taken=lambda uid: uid == room.uid or uid in room.remote_users,
        )
        return CombinedLine(room, self._bridge)

    def _handle_ping(self, ping: Ping) -> None:
        assert self._agent is not None
        self._agent.save_work(is_wanted=ping.should_save_work)
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
        """Cancel the agent: its graceful end took too long."""
        if self._running is not None:
            self._running.cancel()

    # -- messages to the supervisor --------------------------------------------------------------

    def _send(self, message: Any) -> None:
        try:
            self._link.send(message)
        except LinkBrokenError:
            _log.exception("the supervisor does not read its link")

    def _report_ready(self) -> None:
        assert self._agent is not None
        self._send(Ready(timings_ms=self._agent.timings_ms))

    def _report_end(self, running: asyncio.Task[ExitReason]) -> ExitCode:
        """Report the end to the supervisor; `OwnedTasks` has already logged a failure."""
        if self._is_supervisor_gone:
            return ExitCode.SUPERVISOR_GONE
        if running.cancelled():
            return ExitCode.CRASHED
        if (error := running.exception()) is None:
            self._send(Exiting(exit_reason=running.result()))
            return ExitCode.OK
        if isinstance(error, AgentStartError):
            failed = StartFailed(
                phase=error.phase,
                code=error.code,
                message=str(error),
                is_retryable=error.is_retryable,
            )
            self._send(failed)
            return ExitCode.START_FAILED
        text = f"{type(error).__name__}: {error}"[:_MAX_ERROR_CHARACTERS]
        self._send(StartFailed(phase="starting", code="crashed", message=text))
        return ExitCode.CRASHED


def _load_agent(entry: str) -> Callable[..., RunnableAgent]:
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
    link = await Link.open(sock, PARENT_MESSAGE, takes_descriptors=True)
    try:
        # Without a deadline: a pooled process waits here until it is taken or the link closes.
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
            secrets=[*secrets_of(config), *own_secrets(config)],
        )
        # Tools that print must not block on a full pipe either.
        guard_standard_output()
        return await AgentHost(link, config, entry, stacks).run()
    except (LinkBrokenError, ValueError) as error:
        _log.error("no valid start message came over the link: %s", type(error).__name__)
        return ExitCode.LINK_BROKEN
    finally:
        await link.flush(_FLUSH_DEADLINE_S)


def main(sock: socket.socket, stacks: StackFile, entry: str = DEFAULT_ENTRY) -> ExitCode:
    """Run an agent process in a fresh fork (`control.forkserver.main`); return its exit code."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        return asyncio.run(_serve(sock, entry, stacks))
    except Exception:  # noqa: BLE001 - logged before the process exits
        _log.critical("uncaught exception, the agent process exits", exc_info=True)
        return ExitCode.CRASHED
    finally:
        # An agent process exits without running atexit handlers.
        flush_logs()

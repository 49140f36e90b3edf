"""An agent without room and model, for tests of processes; its greeting says what it does."""

from __future__ import annotations

import asyncio
import os
import signal
import time

from agent import AgentObserver
from config.agent import AgentConfig
from conversation.events.commands import CommandRefusedError, CommandResult, LiveCommand, Mute, Say
from conversation.events.server_events import AgentReady
from conversation.lifecycle import AgentStartError, AgentState, ExitReason, Lifecycle
from conversation.snapshot import SnapshotEntry, SnapshotText
from conversation.vitals import MediaCounts, Vitals
from line.line import CreateLine

HOG_BYTES = 128 * 1024 * 1024


class ScriptedAgent:
    """Greeting: `ready` (default), `fail`, `raise`, `never_ready`, `deaf` (ignores the first ask),
    `hang` (blocks its loop once ready), `leave` (ends by itself), `environment` (reports it),
    `refused_later` (ready once; with a conversation to go on with, the key is refused),
    `never_answers` (to commands), `hog` (uses `HOG_BYTES` once ready),
    `hang_once` (likewise, but not with a conversation to go on with), `crash` (dies as soon as it is ready).

    It remembers the conversation it was given, and that it was there.
    """

    def __init__(
        self, config: AgentConfig, observer: AgentObserver, *, line: CreateLine | None = None
    ) -> None:
        del line
        self.timings_ms: dict[str, float] = {}
        self._config = config
        self._script = config.greeting or "ready"
        self._observer = observer
        self._lifecycle = Lifecycle(observer.handle_state)
        self._packets_sent = 0
        self._is_saving_work = False
        self._ended: asyncio.Future[ExitReason] = asyncio.get_running_loop().create_future()

    def stop(self, reason: ExitReason = ExitReason.STOPPED) -> None:
        if self._script != "deaf" and not self._ended.done():
            self._ended.set_result(reason)

    def conversation(self) -> list[SnapshotEntry]:
        seed = self._config.conversation_seed
        told = [] if seed is None else list(seed.entries)
        mine = SnapshotText(number=len(told), role="assistant", text=f"I was {os.getpid()}")
        return [*told, mine]

    def vitals(self) -> Vitals:
        self._packets_sent += 50
        media = MediaCounts(packets_sent=self._packets_sent)
        # As if each process had spent that much.
        return Vitals(
            tokens=self._config.limits.spent_tokens + 10,
            cost=0.5,
            media=media,
            is_saving_work=self._is_saving_work,
        )

    def save_work(self, *, is_wanted: bool) -> None:
        self._is_saving_work = is_wanted

    async def execute(self, command: LiveCommand) -> CommandResult:
        if self._script == "never_answers":
            await asyncio.Event().wait()
        if isinstance(command, Mute):
            raise CommandRefusedError("unsupported_by_model", "it cannot")
        if isinstance(command, Say) and command.text == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        voice = self._config.voice or ""
        return CommandResult(item_id=f"{command.type} {voice}".strip())

    def renew_model(self, reason: str) -> None:
        pass

    async def run(self) -> ExitReason:
        self._lifecycle.advance(AgentState.JOINING)
        if self._script == "fail":
            raise AgentStartError("joining", "room_full", "the room is full")
        if self._script == "refused_later" and self._config.conversation_seed is not None:
            raise AgentStartError("connecting", "invalid_api_key", "no", is_retryable=False)
        if self._script == "raise":
            raise RuntimeError("a defect")
        self._lifecycle.advance(AgentState.CONNECTING)
        if self._script != "never_ready":
            self._become_ready()
        reason = await self._ended
        self._lifecycle.advance(AgentState.STOPPING)
        self._lifecycle.advance(AgentState.EXITED)
        return reason

    def _hang(self) -> None:
        time.sleep(3600)

    def _become_ready(self) -> None:
        self._lifecycle.advance(AgentState.READY)
        self.timings_ms = {"joining": 1.0, "connecting": 2.0}
        if self._script == "leave":
            self.stop(ExitReason.USER_LEFT)
        if self._script == "crash":
            asyncio.get_running_loop().call_later(0.02, os.kill, os.getpid(), signal.SIGKILL)
        is_first = self._config.conversation_seed is None
        if self._script == "hang" or (self._script == "hang_once" and is_first):
            asyncio.get_running_loop().call_later(0.05, self._hang)
        if self._script == "hog":
            self._hogged = b"x" * HOG_BYTES
        if self._script == "environment":
            words = " ".join(sorted(os.environ))
            self._observer.handle_event(AgentReady(agent_id=str(os.getsid(0)), agent_name=words))

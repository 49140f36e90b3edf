"""An agent without room and model, for tests of processes; its greeting says what it does."""

from __future__ import annotations

import asyncio
import os
import time

from agent import AgentObserver, StartFailedError
from config import AgentConfig
from conversation.client_events import AgentReady
from conversation.lifecycle import AgentState, ExitReason, Lifecycle


class ScriptedAgent:
    """Greeting: `ready` (default), `fail`, `raise`, `never_ready`, `deaf` (ignores the first ask),
    `hang` (blocks its loop once ready), `leave` (ends by itself), `environment` (reports it).
    """

    def __init__(self, config: AgentConfig, observer: AgentObserver) -> None:
        self.timings_ms: dict[str, float] = {}
        self._config = config
        self._script = config.greeting or "ready"
        self._observer = observer
        self._lifecycle = Lifecycle(observer.handle_state)
        self._ended: asyncio.Future[ExitReason] = asyncio.get_running_loop().create_future()

    def stop(self, reason: ExitReason = ExitReason.STOPPED) -> None:
        if self._script != "deaf" and not self._ended.done():
            self._ended.set_result(reason)

    async def run(self) -> ExitReason:
        self._lifecycle.advance(AgentState.JOINING)
        if self._script == "fail":
            raise StartFailedError("joining", "room_full", "the room is full")
        if self._script == "raise":
            raise RuntimeError("a defect")
        self._lifecycle.advance(AgentState.CONNECTING)
        if self._script != "never_ready":
            self._become_ready()
        reason = await self._ended
        self._lifecycle.advance(AgentState.STOPPING)
        self._lifecycle.advance(AgentState.EXITED)
        return reason

    def _become_ready(self) -> None:
        self._lifecycle.advance(AgentState.READY)
        self.timings_ms = {"joining": 1.0, "connecting": 2.0}
        if self._script == "leave":
            self.stop(ExitReason.USER_LEFT)
        if self._script == "hang":
            asyncio.get_running_loop().call_later(0.05, time.sleep, 3600)
        if self._script == "environment":
            words = " ".join(sorted(os.environ))
            self._observer.handle_event(AgentReady(agent_id=str(os.getsid(0)), agent_name=words))

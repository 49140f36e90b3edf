"""`Recorder`: observes every call of a supervisor and stores it. Nothing waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from config.agent import AgentConfig
from control.health.rules import Finding
from control.ipc.link import (
    ChildMessage,
    Event,
    Forget,
    OwnerFailed,
    Pong,
    Remember,
    RememberCall,
)
from control.observers import CallObserver
from control.placement import AgentStatus, ExitRecord
from control.store.changes import Change
from control.store.live_call import LiveCall
from conversation.lifecycle import AgentState
from utils import wall_clock_ms

SAMPLE_S: Final = 5.0
"""Interval of resource samples."""

BOX_S: Final = 10.0
"""Longest age of the stored black box of a live call; state changes and the end are stored at
once."""

Put = Callable[[Change], None]


class Recorder(CallObserver):
    """Stores all calls of a supervisor."""

    def __init__(self, put: Put, *, on_end: Callable[[str], object]) -> None:
        """put: queues a change; on_end: called with the id of an ended call"""
        self._put = put
        self._on_end = on_end
        self._calls: dict[str, LiveCall] = {}

    def is_live(self, call_id: str) -> bool:
        """Return true if the call is live."""
        return call_id in self._calls

    # -- observer ---------------------------------------------------------------

    def handle_start(self, config: AgentConfig, *, restarts: int) -> None:
        """Begin the call, or continue it with another process."""
        at_ms = wall_clock_ms()
        call = self._calls.get(config.agent_id)
        if call is None:
            call = self._calls[config.agent_id] = LiveCall(config, at_ms=at_ms)
        self._put_all(call.begin_process(config.conversation_seed, restarts=restarts, at_ms=at_ms))

    def handle_state(self, config: AgentConfig, state: AgentState, *, at_ms: int) -> None:
        """Record the state in the call's record and black box."""
        if (call := self._calls.get(config.agent_id)) is not None:
            call.handle_state(state, at_ms=at_ms)
            self._put_all(call.changes(at_ms=wall_clock_ms()))

    def handle_message(self, config: AgentConfig, message: ChildMessage) -> None:
        """Store what the message reports."""
        if (call := self._calls.get(config.agent_id)) is None:
            return
        at_ms = wall_clock_ms()
        match message:
            case Remember(entry=entry):
                self._put_all(call.remember(entry, at_ms=at_ms))
            case Forget(number=number):
                self._put_all(call.forget(number, at_ms=at_ms))
            case RememberCall(state=state):
                self._put_all(call.remember_state(state, at_ms=at_ms))
            case OwnerFailed(failure=failure):
                call.box.handle_owner_failure(failure)
            case Pong():
                call.handle_pong(message)
            case Event(event=event):
                # What kept the server busy since does not move it.
                happened_ms = message.at_ms or at_ms
                call.box.handle_event(event, at_ms=happened_ms)
                self._put_all(call.handle_event(event, at_ms=happened_ms))
            case _:
                pass

    def handle_ready(self, config: AgentConfig, timings_ms: Mapping[str, float]) -> None:
        """Store the durations of the start."""
        if (call := self._calls.get(config.agent_id)) is not None:
            call.handle_ready(timings_ms)

    def handle_finding(self, config: AgentConfig, finding: Finding) -> None:
        """Record a finding of the health monitor."""
        if (call := self._calls.get(config.agent_id)) is not None:
            call.box.handle_finding(finding, at_ms=wall_clock_ms())

    def handle_exit(self, record: ExitRecord) -> None:
        """End the call, unless another process continues it."""
        if (call := self._calls.get(record.agent_id)) is None:
            return
        call.handle_exit(record)
        self._put_all(call.changes(at_ms=wall_clock_ms()))
        if not record.is_restarted:
            del self._calls[record.agent_id]
            self._on_end(record.agent_id)

    # -- time ------------------------------------------------------------------------------------

    async def run(self, agents: Callable[[], Iterable[AgentStatus]]) -> None:
        """Sample resources and store black boxes periodically, until cancelled."""
        due_s = BOX_S
        while True:
            await asyncio.sleep(SAMPLE_S)
            self.sample(agents())
            due_s -= SAMPLE_S
            if due_s <= 0:
                due_s = BOX_S
                await self.put_live()

    def sample(self, agents: Iterable[AgentStatus]) -> None:
        """Record a resource sample of these agents."""
        at_ms = wall_clock_ms()
        for status in agents:
            if (call := self._calls.get(status.agent_id)) is not None:
                call.box.handle_sample(status, at_ms=at_ms)

    async def put_live(self) -> None:
        """Store the state of all live calls, yielding to the loop in between."""
        for call_id in list(self._calls):
            self.put_call(call_id)
            await asyncio.sleep(0)

    def put_call(self, call_id: str) -> None:
        """Store the state of one call, if it is live."""
        if (call := self._calls.get(call_id)) is not None:
            self._put_all(call.changes(at_ms=wall_clock_ms()))

    def _put_all(self, changes: Iterable[Change]) -> None:
        for change in changes:
            self._put(change)

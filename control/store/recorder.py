"""`Recorder`: follows every call of a supervisor and has it written. Nothing waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from config import AgentConfig
from control.observers import CallObserver
from control.placement import AgentStatus, ExitRecord
from control.processes.link import ChildMessage, Event, Forget, Pong, Remember, StateChanged
from control.processes.watch import Finding
from control.store.changes import Change
from control.store.live_call import LiveCall
from conversation.lifecycle import AgentState
from utils import wall_clock_ms

SAMPLE_S: Final = 5.0
"""How often memory is looked at."""

BOX_S: Final = 10.0
"""How old the stored black box of a live call may be; its end and each change of state are stored
at once."""

Put = Callable[[Change], None]


class Recorder(CallObserver):
    """One for all calls of a supervisor."""

    def __init__(self, put: Put, *, on_end: Callable[[str], object]) -> None:
        """put: has a change written; on_end: called with the id of a call that is over"""
        self._put = put
        self._on_end = on_end
        self._calls: dict[str, LiveCall] = {}

    def is_live(self, call_id: str) -> bool:
        """Whether the call goes on."""
        return call_id in self._calls

    # -- what the supervisor tells ---------------------------------------------------------------

    def handle_start(self, config: AgentConfig, *, restarts: int) -> None:
        """Open the call, or go on with it."""
        at_ms = wall_clock_ms()
        call = self._calls.get(config.agent_id)
        if call is None:
            call = self._calls[config.agent_id] = LiveCall(config, at_ms=at_ms)
        self._put_all(call.begin_process(config.conversation_seed, restarts=restarts, at_ms=at_ms))

    def handle_message(self, config: AgentConfig, message: ChildMessage) -> None:
        """Keep what it says."""
        if (call := self._calls.get(config.agent_id)) is None:
            return
        at_ms = wall_clock_ms()
        match message:
            case Remember(entry=entry):
                self._put_all(call.remember(entry, at_ms=at_ms))
            case Forget(number=number):
                self._put_all(call.forget(number, at_ms=at_ms))
            case StateChanged() if message.state is not AgentState.EXITED:
                call.handle_state(message.state, at_ms=message.at_ms)
                self._put_all(call.changes(at_ms=at_ms))
            case Pong():
                call.handle_pong(message)
            case Event(event=event):
                call.box.handle_event(event, at_ms=at_ms)
                self._put_all(call.handle_event(event, at_ms=at_ms))
            case _:
                pass

    def handle_ready(self, config: AgentConfig, timings_ms: Mapping[str, float]) -> None:
        """Keep how long the start took."""
        if (call := self._calls.get(config.agent_id)) is not None:
            call.handle_ready(timings_ms)

    def handle_finding(self, config: AgentConfig, finding: Finding) -> None:
        """Keep what the watcher noticed."""
        if (call := self._calls.get(config.agent_id)) is not None:
            call.box.handle_finding(finding, at_ms=wall_clock_ms())

    def handle_exit(self, record: ExitRecord) -> None:
        """Close the call, unless another process goes on with it."""
        if (call := self._calls.get(record.agent_id)) is None:
            return
        call.handle_exit(record)
        self._put_all(call.changes(at_ms=wall_clock_ms()))
        if not record.is_restarted:
            del self._calls[record.agent_id]
            self._on_end(record.agent_id)

    # -- time ------------------------------------------------------------------------------------

    async def run(self, agents: Callable[[], Iterable[AgentStatus]]) -> None:
        """Look at memory and have black boxes written now and then, until cancelled."""
        due_s = BOX_S
        while True:
            await asyncio.sleep(SAMPLE_S)
            self.sample(agents())
            due_s -= SAMPLE_S
            if due_s <= 0:
                due_s = BOX_S
                await self.put_live()

    def sample(self, agents: Iterable[AgentStatus]) -> None:
        """Keep how these agents are now."""
        at_ms = wall_clock_ms()
        for status in agents:
            if (call := self._calls.get(status.agent_id)) is not None:
                call.box.handle_sample(status, at_ms=at_ms)

    async def put_live(self) -> None:
        """Have all that is known of the live calls written; others may go on in between."""
        for call_id in list(self._calls):
            self.put_call(call_id)
            await asyncio.sleep(0)

    def put_call(self, call_id: str) -> None:
        """Have all that is known of one call written, if it is live."""
        if (call := self._calls.get(call_id)) is not None:
            self._put_all(call.changes(at_ms=wall_clock_ms()))

    def _put_all(self, changes: Iterable[Change]) -> None:
        for change in changes:
            self._put(change)

"""`LiveCall`: state of one live call, as changes to store. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping

from config.agent import AgentConfig
from control.black_box.box import Box
from control.ipc.link import Pong
from control.placement import ExitRecord
from control.store.changes import (
    Change,
    PutAnalysis,
    PutBox,
    PutCall,
    PutEntry,
    PutMark,
    PutState,
    PutTurn,
)
from control.store.marks import MAX_MARKS, mark_of
from control.store.records import CallRecord, CallTurn, Extraction, Summary
from conversation.events.server_events import AgentResponseDone, AgentTurnMeasured, ServerEvent
from conversation.lifecycle import AgentState
from conversation.snapshot import ResumeState, SnapshotEntry
from conversation.turn_timings import TurnTimings


def first_record(config: AgentConfig, *, at_ms: int) -> CallRecord:
    """Return the record of a call that begins."""
    return CallRecord(
        call_id=config.agent_id,
        thread_id=config.thread_id or config.agent_id,
        team=config.team,
        key=config.key,
        channel_name=config.channel_name,
        person_id=config.person_id,
        agent=_agent_of(config),
        uid=config.uid,
        provider=config.provider.name,
        model=config.provider.model,
        language=config.language,
        started_at_ms=at_ms,
        updated_at_ms=at_ms,
        state=AgentState.STARTING,
    )


def _agent_of(config: AgentConfig) -> str:
    if config.chat_room is not None:
        return "+".join(member.definition for member in config.chat_room.members)
    return config.definition or ""


class LiveCall:
    """Collects one call. Time is an argument: `at_ms`, Unix time in milliseconds."""

    def __init__(self, config: AgentConfig, *, at_ms: int) -> None:
        seed = config.conversation_seed or ResumeState()
        self.box = Box()
        self.record = first_record(config, at_ms=at_ms)
        # First entry number of this call; entries before it belong to earlier calls.
        self._first = seed.offset + len(seed.entries)
        self._offset = seed.offset
        self._state = seed.call_state
        self._summarise, self._extract = config.summarise, config.extract
        # Marks so far; of more than `MAX_MARKS`, each takes the place of the oldest.
        self._marks = 0
        # One past the last number stored.
        self._end = self._first

    def begin_process(
        self, seed: ResumeState | None, *, restarts: int, at_ms: int
    ) -> Iterator[Change]:
        """Begin a process; its resume state replaces the entries of the previous process."""
        self._update(restarts=restarts)
        seed = seed or ResumeState()
        self._offset = seed.offset
        end = seed.offset + len(seed.entries)
        yield from self._put(seed.entries, at_ms=at_ms)
        yield from self._take_back(range(end, self._end), at_ms=at_ms)
        yield self._put_record(at_ms)
        if restarts == 0:
            yield from self._wanted_analyses(at_ms)

    def _wanted_analyses(self, at_ms: int) -> Iterator[Change]:
        call_id, schema = self.record.call_id, self._extract
        if self._summarise:
            yield PutAnalysis(call_id, "summary", "", Summary(at_ms=at_ms))
        if schema is not None:
            text = json.dumps(schema)
            yield PutAnalysis(call_id, "extraction", text, Extraction(at_ms=at_ms))

    def remember(self, entry: SnapshotEntry, *, at_ms: int) -> Iterator[Change]:
        """Store an entry of the agent's conversation."""
        return self._put((entry,), at_ms=at_ms)

    def forget(self, number: int, *, at_ms: int) -> Iterator[Change]:
        """Delete an entry that the agent withdrew."""
        place = self._offset + number
        return self._take_back(range(place, place + 1), at_ms=at_ms)

    def remember_state(self, state: str, *, at_ms: int) -> Iterator[Change]:
        """Store the owner's state, if it has changed."""
        if state != self._state:
            self._state = state
            yield PutState(self.record.thread_key, self.record.call_id, at_ms, state)

    def handle_state(self, state: AgentState, *, at_ms: int) -> None:
        """Enter `state`, as the supervisor sees it."""
        self.box.handle_state(state, process=self.record.restarts, at_ms=at_ms)
        self._update(state=state, updated_at_ms=at_ms)

    def handle_pong(self, pong: Pong) -> None:
        """Record a heartbeat: loop lag and the cost of all processes of the call."""
        self.box.handle_lag(pong.loop_lag_ms)
        usage = self.record.usage
        self._update(usage=usage.model_copy(update={"cost": max(usage.cost, pong.vitals.cost)}))

    def handle_ready(self, timings_ms: Mapping[str, float]) -> None:
        """Record the durations of the first start."""
        if not self.record.timings_ms:
            self._update(timings_ms=dict(timings_ms))

    def handle_event(self, event: ServerEvent, *, at_ms: int) -> Iterator[Change]:
        """Record usage, turn timings and marks of an event."""
        if isinstance(event, AgentResponseDone):
            self._count(event)
        if isinstance(event, AgentTurnMeasured):
            yield self._put_turn(event.timings, at_ms)
        if (mark := mark_of(event, at_ms)) is not None:
            yield PutMark(self.record.call_id, self._marks % MAX_MARKS, mark)
            self._marks += 1

    def _count(self, event: AgentResponseDone) -> None:
        usage = self.record.usage
        counted = {
            "replies": usage.replies + 1,
            "input_tokens": usage.input_tokens + event.input_tokens,
            "output_tokens": usage.output_tokens + event.output_tokens,
        }
        self._update(usage=usage.model_copy(update=counted))

    def _put_turn(self, timings: TurnTimings, at_ms: int) -> Change:
        process = self.record.restarts
        turn = CallTurn(**timings.model_dump(), process=process, at_ms=at_ms)
        return PutTurn(self.record.call_id, turn)

    def handle_exit(self, record: ExitRecord) -> None:
        """Record the end of a process, and of the call unless it is restarted."""
        self.box.handle_exit(record)
        if not record.is_restarted:
            self._update(
                ended_at_ms=record.ended_at_ms,
                exit_reason=record.exit_reason,
                exit_code=record.exit_code,
                error=record.error,
            )

    def changes(self, *, at_ms: int) -> list[Change]:
        """Return the current record and black box as changes."""
        return [self._put_record(at_ms), PutBox(self.record.call_id, self.box.content())]

    # -- entries ---------------------------------------------------------------------------------

    def _put(self, entries: Iterable[SnapshotEntry], *, at_ms: int) -> Iterator[Change]:
        for entry in entries:
            if (number := self._offset + entry.number) >= self._first:
                self._end = max(self._end, number + 1)
                yield self._put_entry(number, entry, at_ms)

    def _take_back(self, numbers: Iterable[int], *, at_ms: int) -> Iterator[Change]:
        for number in numbers:
            if number >= self._first:
                yield self._put_entry(number, None, at_ms)

    def _put_entry(self, number: int, entry: SnapshotEntry | None, at_ms: int) -> Change:
        record = self.record
        return PutEntry(record.thread_key, number, record.call_id, at_ms, entry)

    def _put_record(self, at_ms: int) -> Change:
        self._update(updated_at_ms=at_ms)
        return PutCall(self.record)

    def _update(self, **changes: object) -> None:
        self.record = self.record.model_copy(update=changes)

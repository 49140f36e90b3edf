"""`LiveCall`: what is known of one call while it goes on, as changes to be stored. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from config import AgentConfig
from control.black_box.box import Box
from control.placement import ExitRecord
from control.processes.link import Pong
from control.store.changes import Change, PutBox, PutCall, PutEntry, PutTurn
from control.store.records import CallRecord, CallTurn
from conversation.lifecycle import AgentState
from conversation.remembered import ConversationSeed, RememberedEntry
from conversation.server_events import AgentResponseDone, AgentTurnMeasured, ServerEvent
from conversation.turn_timings import TurnTimings


def first_record(config: AgentConfig, *, at_ms: int) -> CallRecord:
    """Of a call that begins."""
    return CallRecord(
        call_id=config.agent_id,
        thread_id=config.thread_id or config.agent_id,
        channel_name=config.channel_name,
        uid=config.uid,
        provider=config.provider.name,
        model=config.provider.model,
        language=config.language,
        started_at_ms=at_ms,
        updated_at_ms=at_ms,
        state=AgentState.STARTING,
    )


class LiveCall:
    """Time is an argument: `at_ms`, Unix time in milliseconds."""

    def __init__(self, config: AgentConfig, *, at_ms: int) -> None:
        seed = config.conversation_seed or ConversationSeed()
        self.box = Box()
        self.record = first_record(config, at_ms=at_ms)
        # Where this call begins in the conversation: what is before belongs to earlier calls.
        self._first = seed.offset + len(seed.entries)
        self._offset = seed.offset
        # One more than the last number that was stored.
        self._end = self._first

    def begin_process(
        self, seed: ConversationSeed | None, *, restarts: int, at_ms: int
    ) -> Iterator[Change]:
        """A process begins; what the one before it had told gives way to what this one is told."""
        self._update(restarts=restarts)
        self.handle_state(AgentState.STARTING, at_ms=at_ms)
        seed = seed or ConversationSeed()
        self._offset = seed.offset
        end = seed.offset + len(seed.entries)
        yield from self._put(seed.entries, at_ms=at_ms)
        yield from self._take_back(range(end, self._end), at_ms=at_ms)
        yield self._put_record(at_ms)

    def remember(self, entry: RememberedEntry, *, at_ms: int) -> Iterator[Change]:
        """The agent told an entry of its conversation."""
        return self._put((entry,), at_ms=at_ms)

    def forget(self, number: int, *, at_ms: int) -> Iterator[Change]:
        """The agent took an entry back."""
        place = self._offset + number
        return self._take_back(range(place, place + 1), at_ms=at_ms)

    def handle_state(self, state: AgentState, *, at_ms: int) -> None:
        """The agent stepped to `state`."""
        self.box.handle_state(state, process=self.record.restarts, at_ms=at_ms)
        self._update(state=state, updated_at_ms=at_ms)

    def handle_pong(self, pong: Pong) -> None:
        """Its loop answered, and told what all processes of the call have cost."""
        self.box.handle_lag(pong.loop_lag_ms)
        usage = self.record.usage
        self._update(usage=usage.model_copy(update={"cost": max(usage.cost, pong.vitals.cost)}))

    def handle_ready(self, timings_ms: Mapping[str, float]) -> None:
        """It became ready, for the first time or again."""
        if not self.record.timings_ms:
            self._update(timings_ms=dict(timings_ms))

    def handle_event(self, event: ServerEvent, *, at_ms: int) -> Iterator[Change]:
        """The agent told its room something that counts."""
        if isinstance(event, AgentResponseDone):
            self._count(event)
        if isinstance(event, AgentTurnMeasured):
            yield self._put_turn(event.timings, at_ms)

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
        """A process is gone, and with it perhaps the call."""
        self.box.handle_exit(record)
        self.handle_state(_state_after(record), at_ms=record.ended_at_ms)
        if not record.is_restarted:
            self._update(
                ended_at_ms=record.ended_at_ms,
                exit_reason=record.exit_reason,
                exit_code=record.exit_code,
                error=record.error,
            )

    def changes(self, *, at_ms: int) -> list[Change]:
        """The record and the black box as they are now."""
        return [self._put_record(at_ms), PutBox(self.record.call_id, self.box.content())]

    # -- entries ---------------------------------------------------------------------------------

    def _put(self, entries: Iterable[RememberedEntry], *, at_ms: int) -> Iterator[Change]:
        for entry in entries:
            if (number := self._offset + entry.number) >= self._first:
                self._end = max(self._end, number + 1)
                yield self._put_entry(number, entry, at_ms)

    def _take_back(self, numbers: Iterable[int], *, at_ms: int) -> Iterator[Change]:
        for number in numbers:
            if number >= self._first:
                yield self._put_entry(number, None, at_ms)

    def _put_entry(self, number: int, entry: RememberedEntry | None, at_ms: int) -> Change:
        record = self.record
        return PutEntry(record.thread_id, number, record.call_id, at_ms, entry)

    def _put_record(self, at_ms: int) -> Change:
        self._update(updated_at_ms=at_ms)
        return PutCall(self.record)

    def _update(self, **changes: object) -> None:
        self.record = self.record.model_copy(update=changes)


def _state_after(record: ExitRecord) -> AgentState:
    if record.is_restarted:
        return AgentState.BACKOFF
    return AgentState.FATAL if record.is_given_up else AgentState.EXITED

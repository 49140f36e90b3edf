"""`Box`: collects the black box of one live call. Pure; time is an argument."""

from __future__ import annotations

from collections import deque
from typing import Final

from control.black_box.curve import Curve
from control.black_box.models import BlackBox, Noticed, ResourceSample, SeenEvent, StateStep
from control.health.rules import Finding
from control.placement import AgentStatus, ExitRecord
from conversation.events.parts import ToolResult, ToolUse
from conversation.events.server_events import ServerEvent
from conversation.lifecycle import AgentState
from conversation.owner_failure import MAX_FAILURES, OwnerFailure

MAX_EVENTS: Final = 200
MAX_STATES: Final = 200
MAX_NOTICED: Final = 100
MAX_EXITS: Final = 16
MAX_MARK_CHARACTERS: Final = 128
_OF_EVERY_EVENT: Final = frozenset({"type", "agent_id", "agent_name"})
_MARKS: Final = frozenset(
    {
        *("response_id", "item_id", "session_id"),
        *("status", "error_type", "code", "cause", "reason", "guardrail", "current"),
    }
)


class Box:
    """Collects states, exits, findings, events and samples; each list is bounded, the latest kept."""

    def __init__(self) -> None:
        self._states: deque[StateStep] = deque(maxlen=MAX_STATES)
        self._exits: deque[ExitRecord] = deque(maxlen=MAX_EXITS)
        self._noticed: deque[Noticed] = deque(maxlen=MAX_NOTICED)
        self._events: deque[SeenEvent] = deque(maxlen=MAX_EVENTS)
        self._owner_errors: deque[OwnerFailure] = deque(maxlen=MAX_FAILURES)
        self._forgotten = 0
        self._curve = Curve()
        # The largest since the last sample.
        self._lag_ms: float | None = None

    def handle_state(self, state: AgentState, *, process: int, at_ms: int) -> None:
        """Record that the agent entered `state`."""
        self._states.append(StateStep(state=state, at_ms=at_ms, process=process))

    def handle_event(self, event: ServerEvent, *, at_ms: int) -> None:
        """Record an event that the agent sent: its type and the length of its texts, not the words."""
        seen = _without_words(event, at_ms)
        last = self._events[-1] if self._events else None
        if last is not None and (last.type, last.marks) == (seen.type, seen.marks):
            characters = last.characters + seen.characters
            update = {"count": last.count + 1, "characters": characters}
            self._events[-1] = last.model_copy(update=update)
            return
        self._forgotten += len(self._events) == MAX_EVENTS
        self._events.append(seen)

    def handle_owner_failure(self, failure: OwnerFailure) -> None:
        """Record a failure of the owner's code."""
        self._owner_errors.append(failure)

    def handle_finding(self, finding: Finding, *, at_ms: int) -> None:
        """Record a finding of the health monitor."""
        self._noticed.append(
            Noticed(sign=finding.sign, action=finding.action, text=finding.text, at_ms=at_ms)
        )

    def handle_lag(self, loop_lag_ms: float) -> None:
        """Record the loop lag that a heartbeat reported."""
        self._lag_ms = max(self._lag_ms or 0.0, loop_lag_ms)

    def handle_sample(self, status: AgentStatus, *, at_ms: int) -> None:
        """Record a sample of the process's resources."""
        sample = ResourceSample(
            at_ms=at_ms,
            private_bytes=status.private_bytes,
            pss_bytes=status.pss_bytes,
            descriptors=status.descriptors,
            loop_lag_ms=self._lag_ms,
        )
        self._lag_ms = None
        self._curve.add(sample)

    def handle_exit(self, record: ExitRecord) -> None:
        """Record the end of a process; a second record of the same end replaces the first."""
        if self._exits and self._exits[-1].ended_at_ms == record.ended_at_ms:
            self._exits.pop()
        self._exits.append(record)

    def content(self) -> BlackBox:
        """Return the black box as it is now."""
        return BlackBox(
            states=tuple(self._states),
            exits=tuple(self._exits),
            noticed=tuple(self._noticed),
            events=tuple(self._events),
            owner_errors=tuple(self._owner_errors),
            forgotten_events=self._forgotten,
            curve=self._curve.samples,
        )


def _without_words(event: ServerEvent, at_ms: int) -> SeenEvent:
    marks, characters = {}, 0
    for name in type(event).model_fields:
        match value := getattr(event, name):
            case str() if name in _MARKS:
                marks[name] = value[:MAX_MARK_CHARACTERS]
            case str() if name not in _OF_EVERY_EVENT:
                characters += len(value)
            case ToolUse() | ToolResult():
                marks |= {"call_id": value.id, "tool": value.name[:MAX_MARK_CHARACTERS]}
            case _:
                pass
    return SeenEvent(type=event.type, at_ms=at_ms, marks=marks, characters=characters)

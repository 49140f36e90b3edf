"""Server events of an agent as events of the in-process API."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, Final

from conversation.events import server_events as out
from conversation.events.server_events import ServerEvent
from parley import live_events as live
from parley.live_events import RealtimeEvent


class Translator:
    """Translates one event into none, one or several; remembers which replies called tools."""

    def __init__(self) -> None:
        self._calling: set[str] = set()
        # Of several agents in one conversation, the one that replied last.
        self._author = ""

    def translate(self, event: ServerEvent) -> Iterator[RealtimeEvent]:
        """Return the events that an application gets for `event`."""
        match event:
            case out.AgentResponseCreated(is_out_of_band=False):
                yield from self._note_author(event.agent_id.partition(":")[2])
            case out.AgentResponseToolUseDone():
                self._calling.add(event.response_id)
            case out.AgentResponseDone():
                is_calling = event.response_id in self._calling
                self._calling.discard(event.response_id)
                if is_calling or event.status == "cancelled":
                    return
        if (make := _MAKERS.get(type(event))) is not None:
            yield make(event)

    def _note_author(self, name: str) -> Iterator[RealtimeEvent]:
        if name and name != self._author:
            yield live.AgentChangedEvent(author=name, previous=self._author)
            self._author = name


def _tool_result(event: out.AgentResponseToolResult) -> RealtimeEvent:
    result = event.tool_result
    return live.ToolResultEvent(result.id, result.name, _value(result.output))


def _value(output: str) -> Any:
    """Return the value that a tool returned: JSON where its result was no text."""
    try:
        return json.loads(output)
    except (ValueError, RecursionError):
        return output


def _time_left(event: out.ServerSessionGoAway) -> RealtimeEvent:
    left_ms = event.time_left_ms
    return live.GoAwayEvent(None if left_ms is None else f"{left_ms / 1000:g}s")


def _tool_call(event: out.AgentResponseToolUseDone) -> RealtimeEvent:
    use = event.tool_use
    return live.ToolCallEvent(use.id, use.name, use.input, event.is_client_tool)


def _approval(event: out.AgentToolApprovalRequired) -> RealtimeEvent:
    use = event.tool_use
    return live.ToolApprovalRequiredEvent(use.id, use.name, use.input, event.timeout_ms)


_MAKERS: Final[dict[type, Callable[[Any], RealtimeEvent]]] = {
    out.AgentReady: lambda e: live.SessionStartedEvent(e.has_manual_turns),
    out.AgentEnded: lambda e: live.SessionEndedEvent(e.reason),
    out.ServerSessionUpdated: lambda e: live.SessionUpdateEvent(session_id=e.session_id),
    out.ServerSessionGoAway: _time_left,
    out.AgentConnectionChanged: lambda e: live.ConnectionChangedEvent(e.status),
    out.AgentInputStarted: lambda e: live.SpeechStartedEvent(e.item_id),
    out.AgentInputDone: lambda e: live.SpeechStoppedEvent(e.item_id),
    out.AgentInputTranscriptionDelta: lambda e: live.InputTranscriptEvent(
        e.delta, finished=False, item_id=e.item_id
    ),
    out.AgentInputTranscriptionDone: lambda e: live.InputTranscriptEvent(
        e.transcript, finished=True, item_id=e.item_id
    ),
    out.AgentResponseAudioTranscriptDelta: lambda e: live.OutputTranscriptEvent(
        e.delta, finished=False, response_id=e.response_id, item_id=e.item_id
    ),
    out.AgentResponseAudioTranscriptDone: lambda e: live.OutputTranscriptEvent(
        e.transcript, finished=True, response_id=e.response_id, item_id=e.item_id
    ),
    out.AgentResponseToolUseDone: _tool_call,
    out.AgentToolApprovalRequired: _approval,
    out.AgentResponseToolResult: _tool_result,
    out.AgentResponseDone: lambda e: live.TurnCompleteEvent(e.response_id),
    out.AgentInterrupted: lambda e: live.InterruptedEvent(
        e.response_id, e.item_id, e.audio_end_ms, e.heard
    ),
    out.AgentPaused: lambda _: live.PlaybackPausedEvent(),
    out.AgentResumed: lambda e: live.PlaybackResumedEvent(e.cause),
    out.AgentPlayoutDone: lambda e: live.PlaybackDoneEvent(e.response_id, e.item_id),
    out.AgentGuardrailTripped: lambda e: live.GuardrailTrippedEvent(
        e.guardrail, e.response_id, e.item_id
    ),
    out.AgentHandedOver: lambda e: live.AgentChangedEvent(author=e.current, previous=e.previous),
    out.AgentError: lambda e: live.ErrorEvent(e.message, code=e.code),
}

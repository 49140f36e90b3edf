"""Events of the model in the words of the Agents SDK, from our server events. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

from conversation.events import server_events as out
from conversation.events.server_events import ServerEvent
from parley.compat.agents_sdk_events import RealtimeModelEvent


def arguments_of(event: out.AgentResponseToolUseDone) -> str:
    """Return the arguments of a tool call as JSON."""
    return json.dumps(event.tool_use.input)


def raw_event(event: ServerEvent) -> RealtimeModelEvent | None:
    """Return the event of the model that stands behind one of ours, if theirs has one."""
    if (found := _FIELDS.get(type(event))) is None:
        return None
    name, fields_of = found
    return RealtimeModelEvent(name, fields_of(event))


def _call(event: out.AgentResponseToolUseDone) -> dict[str, Any]:
    use = event.tool_use
    return {
        "name": use.name,
        "call_id": use.id,
        "id": event.item_id,
        "arguments": arguments_of(event),
    }


def _status(event: out.AgentConnectionChanged) -> dict[str, Any]:
    return {"status": "connected" if event.status == "open" else "disconnected"}


def _error(event: out.AgentError) -> dict[str, Any]:
    return {"error": f"{event.code}: {event.message}"}


def _only(*names: str) -> Callable[[Any], dict[str, Any]]:
    return lambda event: {name: getattr(event, name) for name in names}


_FIELDS: Final[dict[type, tuple[str, Callable[[Any], dict[str, Any]]]]] = {
    out.AgentReady: ("connection_status", lambda _: {"status": "connected"}),
    out.AgentConnectionChanged: ("connection_status", _status),
    out.AgentResponseCreated: ("turn_started", _only("response_id")),
    out.AgentResponseDone: ("turn_ended", _only("response_id")),
    out.AgentResponseAudioTranscriptDelta: (
        "transcript_delta",
        _only("item_id", "delta", "response_id"),
    ),
    out.AgentInputTranscriptionDone: (
        "input_audio_transcription_completed",
        _only("item_id", "transcript"),
    ),
    out.AgentResponseToolUseDone: ("function_call", _call),
    out.AgentItemAdded: ("item_updated", _only("item_id")),
    out.AgentItemUpdated: ("item_updated", _only("item_id")),
    out.AgentItemDeleted: ("item_deleted", _only("item_id")),
    out.AgentInputTimeoutTriggered: ("input_audio_timeout_triggered", _only("item_id")),
    out.AgentError: ("error", _error),
}

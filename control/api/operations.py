"""The routes of the control API as data: the application and the OpenAPI document are built from it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Final, Literal

from pydantic import BaseModel

from control.api.idempotency import KEY_HEADER
from control.api.schemas import (
    AgentList,
    DrainAnswer,
    DrainRequest,
    Health,
    Readiness,
    StartAgentAnswer,
    StartAgentRequest,
    StopAgentAnswer,
    StopAgentRequest,
    TokenAnswer,
    TokenRequest,
)
from control.live.schemas import (
    ApproveRequest,
    InterruptRequest,
    LiveAnswer,
    MuteRequest,
    SayRequest,
    TextRequest,
    ToolResultRequest,
    UpdateRequest,
)
from control.placement import AgentStatus
from control.store.records import CallDeleted, CallDetails, CallPage, Transcript
from control.store.routes import CallsQuery
from rtc.room_call import CallOffer


class Guard(Enum):
    """Who may use a route. OPEN: anybody; KEY: holders of an API key; ROOM: the room asks for its
    own token; METRICS: holders of the metrics token or an API key. Without any configured keys, all
    but OPEN are for this machine's own programs and pages.
    """

    OPEN = "open"
    KEY = "key"
    ROOM = "room"
    METRICS = "metrics"


@dataclass(frozen=True)
class Parameter:
    """Something optional in the query or the headers (`where`); text without blanks around it."""

    name: str
    where: Literal["query", "header"]
    description: str
    pattern: str | None = None


@dataclass(frozen=True)
class Operation:
    """One route. `answers`: success status -> body, None for what is no JSON of ours."""

    method: str
    path: str
    name: str
    summary: str
    answers: dict[int, type[BaseModel] | None]
    request: type[BaseModel] | None = None
    query: type[BaseModel] | None = field(default=None, kw_only=True)
    errors: dict[int, str] = field(default_factory=dict)
    guard: Guard = Guard.KEY
    is_body_optional: bool = False
    parameters: tuple[Parameter, ...] = ()
    # Content type of an answer that is no JSON.
    media_type: str | None = None
    # Served by the room server, documented here.
    is_of_room: bool = False


_BODY_ERRORS: Final = {
    400: "invalid_request, or what the route says",
    408: "body_timeout: the body did not come within 10 s",
    413: "too_large: the body exceeds 256 KiB",
    415: "unsupported_media_type: the body must be application/json",
}

_CALL_ERRORS: Final = {
    404: "unknown_call",
    503: "store_unavailable: it cannot be read now, or not written; calls go on",
}


def _command(
    name: str, summary: str, request: type[BaseModel], *, conflicts: str = ""
) -> Operation:
    """An order to a live agent, which answers it itself."""
    errors = {
        **_BODY_ERRORS,
        404: "not_running",
        409: ", ".join(
            filter(None, ("not_ready: starting, ending or between processes", conflicts))
        ),
        422: "unsupported_by_model: the agent's model cannot do that",
        429: "too_many_events: slow down",
        502: "agent_lost: its process ended first; whether it took effect is unknown",
        504: "no_answer: within 5 s; it may still take effect",
    }
    path = f"/agents/{{channel}}/{name}"
    is_body_optional = request is InterruptRequest
    return Operation(
        "POST",
        path,
        name,
        summary,
        {200: LiveAnswer},
        request,
        errors,
        is_body_optional=is_body_optional,
    )


OPERATIONS: Final = (
    Operation(
        "POST",
        "/start_agent",
        "start_agent",
        "Start the channel's agent; answers when it is ready",
        {200: StartAgentAnswer, 202: StartAgentAnswer},
        StartAgentRequest,
        {
            **_BODY_ERRORS,
            400: "invalid_request, already_running, missing_api_key, unknown_provider, "
            "provider_not_configured, unknown_toolset, unknown_skill, no_price",
            409: "stopped: before it was ready; thread_busy: a live call has the conversation",
            410: "call_deleted: the call that the idempotency key began was deleted",
            422: "idempotency_key_reused: the key came with another request",
            429: "too_many_requests, too_many_open; at_capacity: `details` have the reason and its figures; see Retry-After",
            502: "start_failed: the phase and its cause are in `details`; no process remains",
            503: "overloaded, draining; store_unavailable: the conversation cannot be read",
            504: "start_timeout: as 502",
        },
        parameters=(
            Parameter(
                KEY_HEADER,
                "header",
                "requests with one key and body start one agent and get one answer: docs/control.md",
                r"^[!-~]([ -~]{0,198}[!-~])?$",
            ),
        ),
    ),
    Operation(
        "POST",
        "/stop_agent",
        "stop_agent",
        "Stop the channel's agent gracefully; answers when its process is gone",
        {200: StopAgentAnswer},
        StopAgentRequest,
        {**_BODY_ERRORS, 404: "not_running", 504: "stop_failed: the process does not go"},
    ),
    Operation(
        "POST",
        "/drain",
        "drain",
        "Start nothing more, let calls end, end the others at the deadline",
        {202: DrainAnswer},
        DrainRequest,
        _BODY_ERRORS,
    ),
    Operation("GET", "/agents", "list_agents", "All live agents", {200: AgentList}),
    Operation(
        "GET",
        "/agents/{channel}",
        "show_agent",
        "The channel's agent, live or (state `exited`) its last one",
        {200: AgentStatus},
        errors={400: "invalid_request: no channel name", 404: "not_running"},
    ),
    Operation(
        "GET",
        "/agents/{channel}/events",
        "events",
        "What happens in the call, as server-sent events: docs/control.md",
        {200: None, 204: None},
        errors={
            400: "invalid_request: no channel name, or no event id",
            404: "not_running",
            429: "too_many_streams: of this agent",
        },
        parameters=(
            Parameter("Last-Event-ID", "header", "resume after this event; 0: all that is left"),
            Parameter("last_event_id", "query", "the same, for those who cannot set headers"),
        ),
        media_type="text/event-stream",
    ),
    _command("say", "Have the agent speak a text word for word", SayRequest),
    _command("interrupt", "Silence the agent now", InterruptRequest),
    _command("text", "Write to the agent; it answers", TextRequest),
    _command(
        "update",
        "Change instructions, voice, tools or turn detection",
        UpdateRequest,
        conflicts="voice_in_use",
    ),
    _command(
        "tool_result",
        "Answer a pass-through tool call",
        ToolResultRequest,
        conflicts="unknown_call",
    ),
    _command("mute", "Keep the agent's voice from people, or give it back", MuteRequest),
    _command("approve", "Allow or forbid a tool call", ApproveRequest, conflicts="unknown_call"),
    Operation(
        "GET",
        "/agents/{channel}/transcript",
        "show_channel_transcript",
        "What has been said in the channel's latest call",
        {200: Transcript},
        errors={400: "invalid_request", **_CALL_ERRORS},
    ),
    Operation(
        "GET",
        "/calls",
        "list_calls",
        "Calls, live and past, the latest first",
        {200: CallPage},
        errors={400: "invalid_request", 503: _CALL_ERRORS[503]},
        query=CallsQuery,
    ),
    Operation(
        "GET",
        "/calls/{id}",
        "show_call",
        "One call with its turns and its black box",
        {200: CallDetails},
        errors=_CALL_ERRORS,
    ),
    Operation(
        "DELETE",
        "/calls/{id}",
        "delete_call",
        "Forget a call that is over, with all that was said in it",
        {200: CallDeleted},
        errors={
            **_CALL_ERRORS,
            409: "call_is_live: stop its agent first",
            500: "not_deleted: its recording cannot be; the call is kept so that it can be tried again",
        },
    ),
    Operation(
        "GET",
        "/calls/{id}/transcript",
        "show_transcript",
        "What was said in a call",
        {200: Transcript},
        errors=_CALL_ERRORS,
    ),
    Operation(
        "GET",
        "/calls/{id}/recording",
        "show_recording",
        "The recording of a call, as far as it is written: docs/recording.md",
        {200: None, 206: None},
        errors={404: "no_recording", 416: "the range is not in the file"},
        media_type="audio/wav",
    ),
    Operation(
        "POST",
        "/token",
        "mint_token",
        "A token to join a room with",
        {200: TokenAnswer},
        TokenRequest,
        _BODY_ERRORS,
    ),
    Operation(
        "GET",
        "/rooms/{channel}/ws",
        "join_room",
        "Signaling of the channel's room, a WebSocket: docs/signaling.md",
        {101: None},
        errors={400: "bad channel name or no WebSocket request"},
        guard=Guard.ROOM,
        is_of_room=True,
    ),
    Operation(
        "POST",
        "/rooms/{channel}/call",
        "call_agent",
        "Join with one request: an SDP offer in, the agent's answer out: docs/signaling.md",
        {200: None},
        CallOffer,
        {
            **_BODY_ERRORS,
            404: "no_agent",
            429: "too_many_requests, too_many_open, room_full, server_full",
            502: "agent_failed",
            504: "no_answer",
        },
        guard=Guard.ROOM,
        is_of_room=True,
    ),
    Operation("GET", "/healthz", "health", "Liveness", {200: Health}, guard=Guard.OPEN),
    Operation(
        "GET",
        "/readyz",
        "readiness",
        "Whether agents can be started",
        {200: Readiness, 503: Readiness},
        guard=Guard.OPEN,
    ),
    Operation(
        "GET",
        "/metrics",
        "metrics",
        "Figures for Prometheus: docs/observability.md",
        {200: None},
        guard=Guard.METRICS,
    ),
    Operation("GET", "/openapi.json", "openapi", "This document", {200: None}, guard=Guard.ROOM),
    Operation("GET", "/", "page", "The console page", {200: None}, guard=Guard.ROOM),
    Operation(
        "GET",
        "/web/{path}",
        "asset",
        "Files of the console page",
        {200: None},
        errors={404: "not_found"},
        guard=Guard.ROOM,
    ),
)

"""Operations of the control API as data: routes and the OpenAPI document are built from them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from aiohttp.typedefs import Handler
from pydantic import BaseModel

from bridge.dialects import ROUTES
from control.api.calls_query import CallsQuery
from control.api.definitions import DefinitionList
from control.api.idempotency import KEY_HEADER
from control.api.images import ImageRequest
from control.api.keys import (
    AuditQuery,
    KeyChange,
    KeyChanged,
    KeyList,
    KeyRequest,
    KeyRevoked,
    KeySecret,
    RotateRequest,
)
from control.api.live_schemas import (
    ApproveRequest,
    InterruptRequest,
    LiveAnswer,
    MuteRequest,
    SayRequest,
    TextRequest,
    ToolResultRequest,
    UpdateRequest,
)
from control.api.local_model import LocalModel
from control.api.memory import MemoryDeleted, MemoryTexts, TeamQuery
from control.api.operation import Guard, Handlers, Operation, Parameter
from control.api.options import Options
from control.api.providers import McpCheck, ProviderCheck, VoiceSampleRequest
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
from control.api.status import ServerStatus
from control.keys.access import ANY_SCOPE, Scope
from control.keys.records import AuditPage
from control.placement import AgentStatus
from control.store.records import (
    CallDeleted,
    CallDetails,
    CallExport,
    CallPage,
    CallTimeline,
    Deleted,
    Transcript,
)
from rtc.room_server.one_request_call import CallOffer
from untrusted.images import IMAGE_TYPES

_BODY_ERRORS: Final = {
    400: "invalid_request, or a code of the route",
    408: "body_timeout: the body did not arrive within 10 s",
    413: "too_large: the body exceeds 256 KiB",
    415: "unsupported_media_type: the body must be application/json",
}

_IMAGE_ERRORS: Final = {
    **_BODY_ERRORS,
    413: "too_large: the image exceeds 1 MiB",
    415: "unsupported_media_type: the body must be application/json, image/jpeg, image/png or image/webp",
}

_CALL_ERRORS: Final = {
    404: "unknown_call",
    503: "store_unavailable: the store cannot be read or written now; calls go on",
}


_START_OR_STEER: Final = frozenset({Scope.START, Scope.STEER})
_START_OR_LISTEN: Final = frozenset({Scope.START, Scope.LISTEN})
# Who hears or steers a call follows its events: approvals are asked for there.
_FOLLOW: Final = frozenset({Scope.READ_CALLS, Scope.LISTEN, Scope.STEER})


def _command(
    name: str,
    handler: Callable[[Handlers], Handler],
    summary: str,
    request: type[BaseModel],
    *,
    conflicts: str = "",
    raw_types: tuple[str, ...] = (),
    body_errors: Mapping[int, str] = _BODY_ERRORS,
) -> Operation:
    """Describe a command to a live agent, which answers it itself."""
    errors = {
        **body_errors,
        404: "not_running",
        409: ", ".join(
            filter(None, ("not_ready: the agent is starting, ending or being restarted", conflicts))
        ),
        422: "unsupported_by_model: the agent's model does not support it",
        429: "too_many_events: retry later",
        502: "agent_lost: its process ended first; the command may have taken effect",
        504: "no_answer: none within 5 s; the command may still take effect",
    }
    path = f"/agents/{{channel}}/{name}"
    is_body_optional = request is InterruptRequest
    return Operation(
        "POST",
        path,
        name,
        handler,
        summary,
        {200: LiveAnswer},
        request,
        errors,
        is_body_optional=is_body_optional,
        raw_types=raw_types,
        scope=Scope.STEER,
        is_audited=True,
    )


def _deletion(
    path: str, name: str, handler: Callable[[Handlers], Handler], whose: str
) -> Operation:
    return Operation(
        "DELETE",
        path,
        name,
        handler,
        f"Delete all calls, recordings and memories of {whose}",
        {200: Deleted},
        query=TeamQuery,
        errors={
            400: "invalid_request",
            409: "call_is_live: `details` has the calls to stop first; nothing is deleted",
            500: "not_deleted: a recording cannot be deleted; its call is kept for another attempt",
            503: _CALL_ERRORS[503],
        },
        is_audited=True,
        scope=Scope.ADMIN,
    )


OPERATIONS: Final = (
    Operation(
        "POST",
        "/start_agent",
        "start_agent",
        lambda to: to.agents.start_agent,
        "Start the channel's agent; answered when it is ready",
        {200: StartAgentAnswer, 202: StartAgentAnswer},
        StartAgentRequest,
        {
            **_BODY_ERRORS,
            400: "invalid_request, already_running, channel_taken, missing_api_key, unknown_provider, "
            "tool_server_not_allowed, "
            "provider_not_configured, base_url_not_allowed, unknown_agent, unknown_toolset, unknown_skill, no_price, http_host_not_allowed",
            409: "stopped: stopped before it was ready; thread_busy: a live call has the conversation",
            410: "call_deleted: the call of this idempotency key was deleted",
            422: "idempotency_key_reused: the key was used with another request",
            429: "too_many_requests, too_many_open; at_capacity, key_limit: `details` has the reason and its figures; "
            "see Retry-After",
            502: "start_failed: `details` has the phase and its cause; no process remains",
            503: "overloaded, draining; store_unavailable: the conversation cannot be read",
            504: "start_timeout: otherwise as 502",
        },
        parameters=(
            Parameter(
                KEY_HEADER,
                "header",
                "repeated requests with one key and body start one agent and get one answer: docs/control.md",
                r"^[!-~]([ -~]{0,198}[!-~])?$",
            ),
        ),
        is_audited=True,
        scope=Scope.START,
    ),
    Operation(
        "POST",
        "/stop_agent",
        "stop_agent",
        lambda to: to.agents.stop_agent,
        "Stop the channel's agent gracefully; answered when its process has ended",
        {200: StopAgentAnswer},
        StopAgentRequest,
        {**_BODY_ERRORS, 404: "not_running", 504: "stop_failed: the process does not end"},
        is_audited=True,
        scope=_START_OR_STEER,
    ),
    Operation(
        "POST",
        "/drain",
        "drain",
        lambda to: to.agents.drain,
        "Refuse new starts, let calls end, end the remaining ones at the deadline",
        {202: DrainAnswer},
        DrainRequest,
        _BODY_ERRORS,
        is_audited=True,
        scope=Scope.ADMIN,
        is_for_all_teams=True,
    ),
    Operation(
        "GET",
        "/agents",
        "list_agents",
        lambda to: to.agents.list_agents,
        "All live agents",
        {200: AgentList},
        scope=ANY_SCOPE,
    ),
    Operation(
        "GET",
        "/local_model",
        "show_local_model",
        lambda to: to.local_model.show,
        "State of the local model, and what hears, answers and speaks in it",
        {200: LocalModel},
        scope=ANY_SCOPE,
    ),
    Operation(
        "POST",
        "/local_model/voice_sample",
        "voice_sample",
        lambda to: to.providers.voice_sample,
        "Have a voice of the local model say a sentence",
        {200: None},
        VoiceSampleRequest,
        {
            **_BODY_ERRORS,
            429: "too_many_checks",
            502: "the local model's own code: it cannot speak with this voice",
        },
        media_type="audio/wav",
        is_audited=True,
        scope=Scope.START,
    ),
    Operation(
        "POST",
        "/providers/{name}/check",
        "check_provider",
        lambda to: to.providers.check,
        "Open a session with a provider as it is configured, and say what came of it",
        {200: ProviderCheck},
        errors={
            400: "invalid_request: not the name of a provider",
            404: "unknown_provider",
            429: "too_many_checks",
        },
        is_audited=True,
        scope=Scope.ADMIN,
        is_for_all_teams=True,
    ),
    Operation(
        "POST",
        "/mcp_servers/{name}/check",
        "check_mcp_server",
        lambda to: to.providers.check_mcp,
        "Open an MCP server as an agent does, and list its tools",
        {200: McpCheck},
        errors={404: "unknown_toolset: MCP_SERVERS has none of this name", 429: "too_many_checks"},
        is_audited=True,
        scope=Scope.ADMIN,
        is_for_all_teams=True,
    ),
    Operation(
        "GET",
        "/options",
        "list_options",
        lambda to: to.options.show,
        "Everything that a start can choose on this server",
        {200: Options},
        scope=ANY_SCOPE,
    ),
    Operation(
        "GET",
        "/status",
        "show_status",
        lambda to: to.status.show,
        "What the server does at this moment: agents, capacity, pool, providers, store, webhooks",
        {200: ServerStatus},
        scope=Scope.ADMIN,
        is_for_all_teams=True,
    ),
    # Before the next one, whose pattern fits this path too.
    Operation(
        "GET",
        "/agents/definitions",
        "list_definitions",
        lambda to: to.definitions.list_definitions,
        "The agents of the server's app, which starts may name, and why its last version cannot be loaded",
        {200: DefinitionList},
        scope=ANY_SCOPE,
    ),
    Operation(
        "GET",
        "/agents/{channel}",
        "show_agent",
        lambda to: to.agents.show_agent,
        "The channel's live agent, or its last one (state `exited`)",
        {200: AgentStatus},
        errors={400: "invalid_request: no channel name", 404: "not_running"},
        scope=ANY_SCOPE,
    ),
    Operation(
        "GET",
        "/agents/{channel}/events",
        "events",
        lambda to: to.events.events,
        "The call's events as server-sent events: docs/control.md",
        {200: None, 204: None},
        errors={
            400: "invalid_request: no channel name, or no event id",
            404: "not_running",
            429: "too_many_streams: of this agent",
        },
        parameters=(
            Parameter(
                "Last-Event-ID", "header", "resume after this event; 0: all events still kept"
            ),
            Parameter("last_event_id", "query", "the same, for clients that cannot set headers"),
        ),
        media_type="text/event-stream",
        is_audited=True,
        scope=_FOLLOW,
    ),
    _command(
        "say", lambda to: to.live.say, "Have the agent speak a text word for word", SayRequest
    ),
    _command(
        "interrupt",
        lambda to: to.live.interrupt,
        "Interrupt the agent's reply now",
        InterruptRequest,
    ),
    _command(
        "text", lambda to: to.live.text, "Send the agent a text message; it answers", TextRequest
    ),
    _command(
        "image",
        lambda to: to.live.image,
        "Show the agent an image",
        ImageRequest,
        raw_types=IMAGE_TYPES,
        body_errors=_IMAGE_ERRORS,
    ),
    _command(
        "update",
        lambda to: to.live.update,
        "Change instructions, voice, tools or turn detection",
        UpdateRequest,
        conflicts="voice_in_use",
    ),
    _command(
        "tool_result",
        lambda to: to.live.tool_result,
        "Answer a pass-through tool call",
        ToolResultRequest,
        conflicts="unknown_call",
    ),
    _command(
        "mute",
        lambda to: to.live.mute,
        "Mute or unmute the agent's voice",
        MuteRequest,
    ),
    _command(
        "approve",
        lambda to: to.live.approve,
        "Allow or forbid a tool call",
        ApproveRequest,
        conflicts="unknown_call",
    ),
    Operation(
        "GET",
        "/agents/{channel}/transcript",
        "show_channel_transcript",
        lambda to: to.calls.show_channel_transcript,
        "Transcript of the channel's latest call",
        {200: Transcript},
        errors={400: "invalid_request", **_CALL_ERRORS},
        is_audited=True,
        scope=Scope.READ_CALLS,
    ),
    Operation(
        "GET",
        "/calls",
        "list_calls",
        lambda to: to.calls.list_calls,
        "Calls, live and past, the latest first",
        {200: CallPage},
        errors={400: "invalid_request", 503: _CALL_ERRORS[503]},
        query=CallsQuery,
        scope=Scope.READ_CALLS,
    ),
    Operation(
        "GET",
        "/calls/{id}",
        "show_call",
        lambda to: to.calls.show_call,
        "One call with its turns and black box",
        {200: CallDetails},
        errors=_CALL_ERRORS,
        is_audited=True,
        scope=Scope.READ_CALLS,
    ),
    Operation(
        "DELETE",
        "/calls/{id}",
        "delete_call",
        lambda to: to.calls.delete_call,
        "Delete an ended call with its transcript and recording",
        {200: CallDeleted},
        errors={
            **_CALL_ERRORS,
            409: "call_is_live: stop its agent first",
            500: "not_deleted: its recording cannot be deleted; the call is kept for another attempt",
        },
        is_audited=True,
        scope=Scope.ADMIN,
    ),
    Operation(
        "GET",
        "/calls/{id}/transcript",
        "show_transcript",
        lambda to: to.calls.show_transcript,
        "Transcript of a call",
        {200: Transcript},
        errors=_CALL_ERRORS,
        is_audited=True,
        scope=Scope.READ_CALLS,
    ),
    Operation(
        "GET",
        "/calls/{id}/timeline",
        "show_timeline",
        lambda to: to.calls.show_timeline,
        "What happened when in a call: levels of both voices, marks, and the steps of each turn",
        {200: CallTimeline},
        errors=_CALL_ERRORS,
        is_audited=True,
        scope=Scope.READ_CALLS,
    ),
    Operation(
        "GET",
        "/calls/{id}/export",
        "export_call",
        lambda to: to.calls.export_call,
        "All that is stored of a call as one document, to keep: record, turns, transcript, marks, black box",
        {200: CallExport},
        errors=_CALL_ERRORS,
        is_audited=True,
        scope=Scope.READ_CALLS,
    ),
    Operation(
        "GET",
        "/calls/{id}/recording",
        "show_recording",
        lambda to: to.calls.show_recording,
        "Recording of a call, as far as it is written: docs/recording.md",
        {200: None, 206: None},
        errors={404: "no_recording", 416: "the range is not in the file"},
        media_type="audio/wav",
        is_audited=True,
        scope=Scope.READ_CALLS,
    ),
    _deletion(
        "/people/{person_id}", "delete_person", lambda to: to.calls.delete_person, "a person"
    ),
    _deletion(
        "/threads/{thread_id}", "delete_thread", lambda to: to.calls.delete_thread, "a conversation"
    ),
    Operation(
        "GET",
        "/memory/{key}",
        "show_memory",
        lambda to: to.memory.show,
        "Texts that models keep under a key beyond their calls",
        {200: MemoryTexts},
        errors={400: "invalid_request", 503: _CALL_ERRORS[503]},
        query=TeamQuery,
        is_audited=True,
        scope=Scope.READ_CALLS,
    ),
    Operation(
        "DELETE",
        "/memory/{key}",
        "delete_memory",
        lambda to: to.memory.delete,
        "Delete all texts under a key",
        {200: MemoryDeleted},
        errors={400: "invalid_request", 503: _CALL_ERRORS[503]},
        query=TeamQuery,
        is_audited=True,
        scope=Scope.ADMIN,
    ),
    Operation(
        "POST",
        "/token",
        "mint_token",
        lambda to: to.agents.mint_token,
        "Mint a token for joining a room",
        {200: TokenAnswer},
        TokenRequest,
        _BODY_ERRORS,
        is_audited=True,
        scope=_START_OR_LISTEN,
    ),
    Operation(
        "GET",
        "/keys",
        "list_keys",
        lambda to: to.keys.list_keys,
        "Named API keys, without their secrets, and what they use",
        {200: KeyList},
        errors={503: "keys_unavailable: the store was not read yet, or not for a day"},
        scope=Scope.ADMIN,
    ),
    Operation(
        "POST",
        "/keys",
        "create_key",
        lambda to: to.keys.create_key,
        "Create a named API key; its secret is shown this once",
        {201: KeySecret},
        KeyRequest,
        {
            **_BODY_ERRORS,
            409: "key_exists, too_many_keys",
            503: "store_unavailable: the key is not created",
        },
        scope=Scope.ADMIN,
        is_for_all_teams=True,
        is_audited=True,
    ),
    Operation(
        "PATCH",
        "/keys/{name}",
        "change_key",
        lambda to: to.keys.change_key,
        "Change scopes and limits of a key, from its next request on",
        {200: KeyChanged},
        KeyChange,
        {**_BODY_ERRORS, 404: "unknown_key", 503: "store_unavailable: the key is not changed"},
        scope=Scope.ADMIN,
        is_for_all_teams=True,
        is_audited=True,
    ),
    Operation(
        "POST",
        "/keys/{name}/rotate",
        "rotate_key",
        lambda to: to.keys.rotate_key,
        "Give a key a new secret; the one before goes on working for a while",
        {200: KeySecret},
        RotateRequest,
        {**_BODY_ERRORS, 404: "unknown_key", 503: "store_unavailable: the key is not changed"},
        is_body_optional=True,
        scope=Scope.ADMIN,
        is_for_all_teams=True,
        is_audited=True,
    ),
    Operation(
        "DELETE",
        "/keys/{name}",
        "revoke_key",
        lambda to: to.keys.revoke_key,
        "Revoke a key; calls that it started go on",
        {200: KeyRevoked},
        errors={404: "unknown_key", 503: "store_unavailable: the key is not revoked"},
        scope=Scope.ADMIN,
        is_for_all_teams=True,
        is_audited=True,
    ),
    Operation(
        "GET",
        "/audit",
        "show_audit",
        lambda to: to.keys.show_audit,
        "What was done through the API, the latest first: docs/keys.md",
        {200: AuditPage},
        errors={400: "invalid_request", 503: _CALL_ERRORS[503]},
        query=AuditQuery,
        scope=Scope.ADMIN,
    ),
    Operation(
        "GET",
        "/rooms/{channel}/ws",
        "join_room",
        None,
        "WebSocket signaling of the channel's room: docs/signaling.md",
        {101: None},
        errors={400: "bad channel name or no WebSocket request"},
        guard=Guard.ROOM,
        scope=None,
    ),
    Operation(
        "POST",
        "/rooms/{channel}/call",
        "call_agent",
        None,
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
        scope=None,
    ),
    *(
        Operation(
            "GET",
            path,
            f"connect_{dialect}",
            lambda to: to.bridge.connect,
            f"WebSocket of a client without WebRTC, dialect {dialect}: docs/bridge.md",
            {101: None},
            errors={
                400: "bad channel name or handshake",
                403: "forbidden, foreign_host, foreign_origin",
                426: "upgrade_required: no WebSocket request",
            },
            guard=Guard.BRIDGE,
            scope=Scope.START,
            is_audited=True,
            parameters=(
                Parameter("token", "query", "a room token, for clients that can set no header"),
            ),
        )
        for path, dialect in ROUTES.items()
    ),
    Operation(
        "GET",
        "/healthz",
        "health",
        lambda to: to.agents.health,
        "Liveness",
        {200: Health},
        guard=Guard.OPEN,
        scope=None,
    ),
    Operation(
        "GET",
        "/readyz",
        "readiness",
        lambda to: to.agents.readiness,
        "Readiness: agents can be started",
        {200: Readiness, 503: Readiness},
        guard=Guard.OPEN,
        scope=None,
    ),
    Operation(
        "GET",
        "/metrics",
        "metrics",
        lambda to: to.metrics.handle,
        "Prometheus metrics: docs/observability.md",
        {200: None},
        guard=Guard.METRICS,
        scope=Scope.ADMIN,
        is_for_all_teams=True,
    ),
    Operation(
        "GET",
        "/openapi.json",
        "openapi",
        lambda to: to.openapi,
        "This document",
        {200: None},
        guard=Guard.ROOM,
        scope=None,
    ),
    Operation(
        "GET",
        "/",
        "page",
        lambda to: to.console.handle_page,
        "The console page",
        {200: None},
        guard=Guard.ROOM,
        scope=None,
    ),
    Operation(
        "GET",
        "/parley.js",
        "client_module",
        lambda to: to.console.handle_client,
        "The client for pages, an ES module: docs/web.md",
        {200: None},
        guard=Guard.ROOM,
        media_type="text/javascript",
        scope=None,
    ),
    Operation(
        "GET",
        "/widget.js",
        "widget_module",
        lambda to: to.console.handle_widget,
        "The widget for pages, an ES module: docs/web.md",
        {200: None},
        guard=Guard.ROOM,
        media_type="text/javascript",
        scope=None,
    ),
    Operation(
        "GET",
        "/web/{path}",
        "asset",
        lambda to: to.console.handle_asset,
        "Files of the console page",
        {200: None},
        errors={404: "not_found"},
        guard=Guard.ROOM,
        scope=None,
    ),
)

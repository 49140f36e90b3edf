from __future__ import annotations

from typing import Any

import pytest

from control.api.openapi import openapi_document
from control.api.operations import OPERATIONS
from tests.control.served_api import serve_api

# Clients are generated from these: method, path, operationId, request model (`?`: may be absent),
# then each success with its model or content type, then parameters outside the path.
PUBLISHED = """
DELETE /calls/{id} delete_call - 200:CallDeleted
DELETE /keys/{name} revoke_key - 200:KeyRevoked
DELETE /memory/{key} delete_memory - 200:MemoryDeleted team
DELETE /people/{person_id} delete_person - 200:Deleted team
DELETE /threads/{thread_id} delete_thread - 200:Deleted team
GET / page - 200
GET /agents list_agents - 200:AgentList
GET /agents/definitions list_definitions - 200:DefinitionList
GET /agents/{channel} show_agent - 200:AgentStatus
GET /agents/{channel}/events events - 200:text/event-stream 204 Last-Event-ID last_event_id
GET /agents/{channel}/transcript show_channel_transcript - 200:Transcript
GET /audit show_audit - 200:AuditPage key team action channel call since until limit after
GET /calls list_calls - 200:CallPage team channel agent thread person exit_reason provider since \
until min_duration_s max_duration_s min_cost max_cost is_live text limit after
GET /calls/{id} show_call - 200:CallDetails
GET /calls/{id}/export export_call - 200:CallExport
GET /calls/{id}/recording show_recording - 200:audio/wav 206
GET /calls/{id}/timeline show_timeline - 200:CallTimeline
GET /calls/{id}/transcript show_transcript - 200:Transcript
GET /healthz health - 200:Health
GET /keys list_keys - 200:KeyList
GET /local_model show_local_model - 200:LocalModel
GET /memory/{key} show_memory - 200:MemoryTexts team
GET /metrics metrics - 200
GET /openapi.json openapi - 200
GET /options list_options - 200:Options
GET /parley.js client_module - 200:text/javascript
GET /readyz readiness - 200:Readiness
GET /rooms/{channel}/ws join_room - 101
GET /status show_status - 200:ServerStatus
GET /v1/graph/live connect_agentflow - 101 token
GET /web/{path} asset - 200
GET /widget.js widget_module - 200:text/javascript
GET /ws/{channel} connect_parley - 101 token
GET /ws/{user_id}/{session_id} connect_agentscope - 101 token
PATCH /keys/{name} change_key KeyChange 200:KeyChanged
POST /agents/{channel}/approve approve ApproveRequest 200:LiveAnswer
POST /agents/{channel}/image image ImageRequest 200:LiveAnswer
POST /agents/{channel}/interrupt interrupt InterruptRequest? 200:LiveAnswer
POST /agents/{channel}/mute mute MuteRequest 200:LiveAnswer
POST /agents/{channel}/say say SayRequest 200:LiveAnswer
POST /agents/{channel}/text text TextRequest 200:LiveAnswer
POST /agents/{channel}/tool_result tool_result ToolResultRequest 200:LiveAnswer
POST /agents/{channel}/update update UpdateRequest 200:LiveAnswer
POST /drain drain DrainRequest 202:DrainAnswer
POST /keys create_key KeyRequest 201:KeySecret
POST /keys/{name}/rotate rotate_key RotateRequest? 200:KeySecret
POST /local_model/voice_sample voice_sample VoiceSampleRequest 200:audio/wav
POST /mcp_servers/{name}/check check_mcp_server - 200:McpCheck
POST /providers/{name}/check check_provider - 200:ProviderCheck
POST /rooms/{channel}/call call_agent CallOffer 200
POST /start_agent start_agent StartAgentRequest 200:StartAgentAnswer 202:StartAgentAnswer \
Idempotency-Key
POST /stop_agent stop_agent StopAgentRequest 200:StopAgentAnswer
POST /token mint_token TokenRequest 200:TokenAnswer
"""


def model_name(schema: dict[str, Any]) -> str:
    return str(schema["$ref"]).rsplit("/", 1)[1]


def signature(method: str, path: str, described: dict[str, Any]) -> str:
    """One line of `PUBLISHED`."""
    request = "-"
    if (body := described.get("requestBody")) is not None:
        request = model_name(body["content"]["application/json"]["schema"])
        request += "" if body["required"] else "?"
    parts = [method.upper(), path, described["operationId"], request]
    for status, answer in described["responses"].items():
        if int(status) < 400:
            content = answer.get("content", {})
            kind = next(iter(content), "")
            if kind == "application/json":
                kind = model_name(content[kind]["schema"])
            parts.append(f"{status}:{kind}" if kind else status)
    parts += [one["name"] for one in described.get("parameters", ()) if one["in"] != "path"]
    return " ".join(parts)


def test_the_document_keeps_every_published_operation() -> None:
    paths = openapi_document(OPERATIONS)["paths"]
    described = [
        signature(method, path, one) for path, item in paths.items() for method, one in item.items()
    ]
    assert sorted(described) == PUBLISHED.strip().split("\n")


@pytest.mark.asyncio
async def test_each_operation_is_answered_by_the_handler_that_is_written_for_it() -> None:
    async with serve_api() as api:
        assert api.app is not None
        routes = {
            (route.method, route.resource.canonical.replace("{path:.+}", "{path}")): route.handler
            for route in api.app.router.routes()
            if route.resource is not None
        }
    for one in OPERATIONS:
        if one.handler is not None:
            handler = one.handler(api.handlers)
            assert routes[one.method, one.path] == handler
            # Each handler's docstring names its routes: a reference to another's shows here.
            named = (handler.__doc__ or "").split(":")[0].split(", ")
            assert f"{one.method} {one.path}" in named, one.name

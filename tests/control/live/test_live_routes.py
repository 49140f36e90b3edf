"""What programs ask of live agents: bodies in, commands out, every refusal with its status."""

from __future__ import annotations

from typing import Any

import pytest

from control.placement import AgentGoneError, AgentSilentError
from conversation.client_events import (
    ClientResponseCancel,
    ClientTextAppend,
    ClientToolApproval,
    ClientToolResult,
)
from conversation.live_commands import CommandRefusedError, LiveCommand, Mute, Say, Update
from tests.control.api.test_routes import START, error_of
from tests.control.served_api import serve_api

TOOL = {"name": "look_up", "description": "Look up."}

COMMANDS: list[tuple[str, dict[str, Any] | None, LiveCommand]] = [
    ("say", {"text": "Hi"}, Say(text="Hi")),
    ("say", {"text": "Hi", "interrupt": True}, Say(text="Hi", should_interrupt=True)),
    ("interrupt", None, ClientResponseCancel()),
    ("interrupt", {}, ClientResponseCancel()),
    ("text", {"text": "What time is it?"}, ClientTextAppend(text="What time is it?")),
    ("update", {"voice": "marin"}, Update(voice="marin")),
    (
        "update",
        {"tools": [TOOL], "turn_detection": {"type": "none"}},
        Update(tools=({"type": "function", **TOOL},), turn_detection={"type": "none"}),
    ),
    ("tool_result", {"id": "c1", "output": "12"}, ClientToolResult(id="c1", name="", output="12")),
    ("mute", {}, Mute(is_muted=True)),
    ("mute", {"muted": False}, Mute(is_muted=False)),
    (
        "approve",
        {"id": "c1", "approve": False, "reason": "too dear"},
        ClientToolApproval(id="c1", approve=False, reason="too dear"),
    ),
]


@pytest.mark.asyncio
@pytest.mark.parametrize(("name", "body", "command"), COMMANDS)
async def test_each_route_becomes_its_command(
    name: str, body: dict[str, Any] | None, command: LiveCommand
) -> None:
    async with serve_api() as api:
        await api.post("/start_agent", json=START)
        response = await api.post(f"/agents/demo/{name}", json=body)
        answer = await response.json()
        assert response.status == 200, answer
        assert api.placement.commands == [command]
        agent_id = api.placement.configs["demo"].agent_id
        assert answer == {
            "status": "done",
            "channel_name": "demo",
            "agent_id": agent_id,
            "was_speaking": True,
            "item_id": None,
        }


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        (CommandRefusedError("not_ready", "the agent is starting"), (409, "not_ready")),
        (CommandRefusedError("unknown_call", "no such call"), (409, "unknown_call")),
        (CommandRefusedError("unsupported_by_model", "no"), (422, "unsupported_by_model")),
        (CommandRefusedError("invalid_event", "tools: no"), (400, "invalid_request")),
        (CommandRefusedError("too_many_events", "slow down"), (429, "too_many_events")),
        (AgentSilentError(5), (504, "no_answer")),
        (AgentGoneError(), (502, "agent_lost")),
    ],
)
async def test_what_an_agent_refuses_has_a_status(
    failure: Exception, expected: tuple[int, str]
) -> None:
    async with serve_api() as api:
        await api.post("/start_agent", json=START)
        api.placement.failure = failure
        response = await api.post("/agents/demo/say", json={"text": "Hi"})
        assert await error_of(response) == expected
        assert (await response.json())["error"] == str(failure)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("path", "body", "expected"),
    [
        ("other/say", {"text": "Hi"}, (404, "not_running")),
        ("no%20name/say", {"text": "Hi"}, (400, "invalid_request")),
        ("demo/say", {"text": ""}, (400, "invalid_request")),
        ("demo/say", {"text": "x" * 4_001}, (400, "invalid_request")),
        ("demo/say", {"text": "Hi", "loud": True}, (400, "invalid_request")),
        ("demo/update", {}, (400, "invalid_request")),
        ("demo/update", {"turn_detection": {"type": "magic"}}, (400, "invalid_request")),
        ("demo/update", {"tools": [{"name": "a b"}]}, (400, "invalid_request")),
        ("demo/interrupt", {"now": 1}, (400, "invalid_request")),
        ("demo/approve", {"id": "c1"}, (400, "invalid_request")),
        ("demo/explode", {}, (404, "not_found")),
    ],
)
async def test_requests_that_make_no_command(
    path: str, body: dict[str, Any], expected: tuple[int, str]
) -> None:
    async with serve_api() as api:
        await api.post("/start_agent", json=START)
        assert await error_of(await api.post(f"/agents/{path}", json=body)) == expected
        assert api.placement.commands == []

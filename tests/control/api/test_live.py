"""Commands to live agents: bodies in, commands out, every refusal with its status."""

from __future__ import annotations

import base64
import gzip
import io
import json
from typing import Any

import pytest

from control.placement import AgentGoneError, AgentSilentError
from conversation.events.client_events import (
    ClientImageAppend,
    ClientResponseCancel,
    ClientTextAppend,
    ClientToolApproval,
    ClientToolResult,
    ImageFormat,
)
from conversation.events.commands import CommandRefusedError, LiveCommand, Mute, Say, Update
from tests.control.api.test_agents import START, error_of
from tests.control.served_api import serve_api
from untrusted.images import MAX_IMAGE_BYTES

RAW_PNG = {"Content-Type": "image/png"}
JPEG_FORMAT = {"type": "image/jpeg"}


def as_base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def large_json(image: str) -> dict[str, Any]:
    """Arguments of a post whose body is too long to be sent in one piece."""
    body = io.BytesIO(json.dumps({"image": image}).encode())
    return {"data": body, "headers": {"Content-Type": "application/json"}}


TOOL = {"name": "look_up", "description": "Look up."}

RESULTS: list[tuple[Any, str]] = [
    (22.5, "22.5"),
    (3, "3"),
    (True, "true"),
    (None, "null"),
    ({"temperature": 22}, '{"temperature": 22}'),
    ([1, {"a": "b"}], '[1, {"a": "b"}]'),
    # More parts than a data channel event may have.
    ([{}] * 1_000, "[" + ", ".join(["{}"] * 1_000) + "]"),
]

COMMANDS: list[tuple[str, dict[str, Any] | None, LiveCommand]] = [
    ("say", {"text": "Hi"}, Say(text="Hi")),
    ("say", {"text": "Hi", "interrupt": True}, Say(text="Hi", should_interrupt=True)),
    ("interrupt", None, ClientResponseCancel()),
    ("interrupt", {}, ClientResponseCancel()),
    ("interrupt", {"playback_only": True}, ClientResponseCancel(playback_only=True)),
    (
        "interrupt",
        {"cancel_response_only": True, "force_response_cancel": True},
        ClientResponseCancel(cancel_response_only=True, force_response_cancel=True),
    ),
    ("text", {"text": "What time is it?"}, ClientTextAppend(text="What time is it?")),
    ("update", {"voice": "marin"}, Update(voice="marin")),
    (
        "update",
        {"tools": [TOOL], "turn_detection": {"type": "none"}},
        Update(tools=({"type": "function", **TOOL},), turn_detection={"type": "none"}),
    ),
    ("tool_result", {"id": "c1", "output": "12"}, ClientToolResult(id="c1", name="", output="12")),
    *(
        (
            "tool_result",
            {"id": "c1", "output": value},
            ClientToolResult(id="c1", name="", output=as_text),
        )
        for value, as_text in RESULTS
    ),
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
        (
            "demo/interrupt",
            {"playback_only": True, "force_response_cancel": True},
            (400, "invalid_request"),
        ),
        ("demo/approve", {"id": "c1"}, (400, "invalid_request")),
        ("demo/tool_result", {"id": "c1"}, (400, "invalid_request")),
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


PNG = b"\x89PNG\r\n\x1a\n..."


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "body",
    [
        {"json": {"image": as_base64(PNG)}},
        {"json": {"image": as_base64(PNG), "format": {"type": "image/png"}}},
        {"data": PNG, "headers": {"Content-Type": "image/png"}},
        {"data": gzip.compress(PNG), "headers": RAW_PNG | {"Content-Encoding": "gzip"}},
    ],
)
async def test_an_image_comes_in_json_or_by_itself(body: dict[str, Any]) -> None:
    async with serve_api() as api:
        await api.post("/start_agent", json=START)
        response = await api.post("/agents/demo/image", **body)
        assert response.status == 200, await response.text()
        image_format = ImageFormat(type="image/png")
        wanted = ClientImageAppend(image=as_base64(PNG), format=image_format)
        assert api.placement.commands == [wanted]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"json": {"image": as_base64(b"GIF89a")}}, (400, "invalid_request")),
        ({"json": {"image": "no base64!"}}, (400, "invalid_request")),
        ({"json": {"image": ""}}, (400, "invalid_request")),
        ({"json": {"image": as_base64(PNG), "size": 1}}, (400, "invalid_request")),
        ({"json": {"image": as_base64(PNG), "format": JPEG_FORMAT}}, (400, "invalid_request")),
        (large_json("A" * 1_400_000), (413, "too_large")),
        (large_json("A" * 1_500_000), (413, "too_large")),
        ({"data": PNG, "headers": {"Content-Type": "image/jpeg"}}, (400, "invalid_request")),
        ({"data": b"", "headers": RAW_PNG}, (400, "invalid_request")),
        (
            {"data": io.BytesIO(PNG + bytes(MAX_IMAGE_BYTES)), "headers": RAW_PNG},
            (413, "too_large"),
        ),
        ({"data": PNG, "headers": {"Content-Type": "image/gif"}}, (415, "unsupported_media_type")),
        ({"data": PNG, "headers": {"Content-Type": "text/plain"}}, (415, "unsupported_media_type")),
    ],
)
async def test_what_is_no_image_reaches_no_agent(
    body: dict[str, Any], expected: tuple[int, str]
) -> None:
    async with serve_api() as api:
        await api.post("/start_agent", json=START)
        assert await error_of(await api.post("/agents/demo/image", **body)) == expected
        assert api.placement.commands == []

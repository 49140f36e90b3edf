"""The log of a real server with real agents, as a collector reads it."""

from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from control.api.operations import OPERATIONS
from control.child.entry import DEFAULT_ENTRY
from control.supervisor.stop_sequence import DEFAULT_DEADLINES
from tests.fakes.openai_realtime import FakeSession, tone
from tests.fakes.ports import lasting_port
from tests.processes.conftest import server_process
from tests.processes.test_real_agent import START, settings
from tests.processes.test_recall import calling

GREETING, PROMPT = "Greetings from the log", "You are told things of the log"
ASKED, SAID = "What is a wombat of the log", "It is a marsupial of the log"
SECRETS = ("sk-test", "sk-must-not-leak", GREETING, PROMPT, ASKED, SAID, "look_up")
TOOL = {"name": "look_up", "description": "", "parameters": {"type": "object"}}


async def talk(session: FakeSession) -> None:
    item_id = await session.speech_started()
    await session.speech_stopped(item_id, ASKED)
    await session.say(tone(200), SAID)


@pytest.mark.asyncio
@pytest.mark.parametrize("level", ["INFO", "DEBUG"])
async def test_every_line_parses_and_none_holds_words_or_secrets(
    tmp_path: Path, level: str
) -> None:
    async with calling(
        tmp_path,
        changes={"log_format": "json", "log_level": level},
        greeting=GREETING,
        system_message=PROMPT,
        tools=[TOOL],
    ) as scene:
        await talk(scene.session)
        await scene.person.wait_event("agent_playout_done")
        await scene.session.call_tool("look_up", {"what": ASKED})
        await scene.person.wait_event("agent_response_tool_use_done")
        await scene.survive()
        await scene.server.post("/stop_agent", {"channel_name": "demo"})
        text = scene.server.log.read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    assert all({"time", "level", "logger", "message"} <= line.keys() for line in lines)
    of_agents = [line for line in lines if line.get("channel") == "demo"]
    assert len({line["agent_id"] for line in of_agents}) == 1
    assert len({line["pid"] for line in of_agents}) == 2, "before and after the kill"
    for secret in SECRETS:
        assert secret not in text


KEY, CARD = "key-of-the-owner-0123456789", "my-card-4111-1111"
FORGED = f"{CARD}\u2028 12:00:00.000 INFO    control.api: all is well\x1b[2J"
BODIES: tuple[bytes, ...] = (
    json.dumps({"channel_name": FORGED, "uid": FORGED, "text": [FORGED]}).encode(),
    json.dumps({"channel_name": "demo", CARD: {CARD: [CARD]}}).encode(),
    f'{{"text": "{CARD}'.encode(),
    f'"{CARD}"'.encode(),
    CARD.encode() + b"\xff\xfe",
    b"[" * 5_000 + CARD.encode(),
)


@pytest.mark.asyncio
async def test_no_request_gets_its_words_or_a_key_into_the_log(tmp_path: Path) -> None:
    """With and without a key, to every operation, in every place of a request."""
    wanted = settings("ws://127.0.0.1:9") | {
        "api_keys": (KEY,),
        "room_token_secret": "s" * 32,
        "requests_per_s_per_address": 10_000,
        "requests_per_s_per_key": 10_000,
    }
    with server_process(tmp_path, wanted) as server:
        async with aiohttp.ClientSession() as http:
            for headers in ({"Authorization": f"Bearer {KEY}"}, {"Authorization": f"Basic {CARD}"}):
                for operation in OPERATIONS:
                    await ask(http, server.url, operation.method, operation.path, headers)
        server.signal(signal.SIGTERM)
        assert await asyncio.to_thread(server.wait) == 0
        log = server.log.read_text()
    assert "SIGTERM: stopping" in log
    assert CARD not in log
    assert KEY not in log
    assert "\x1b" not in log
    assert "Traceback" not in log


async def ask(
    http: aiohttp.ClientSession, url: str, method: str, path: str, headers: dict[str, str]
) -> None:
    place = path.replace("{", "").replace("}", "")
    odd = {"Idempotency-Key": CARD, "Last-Event-ID": CARD}
    requests: list[dict[str, Any]] = [{"headers": odd}, {"params": {"key": CARD, "limit": CARD}}]
    if method in ("POST", "PUT", "PATCH"):
        requests += [
            {"data": body, "headers": {"Content-Type": "application/json"}} for body in BODIES
        ]
    for request in requests:
        request["headers"] = headers | request.get("headers", {})
        async with http.request(method, f"{url}{place}", **request) as answer:
            if answer.status >= 400:
                await answer.read()
            assert answer.status < 500, (method, path, request, await answer.text())


@pytest.mark.asyncio
@pytest.mark.parametrize("what", ["refused", "unknown", "no tls", "program"])
async def test_a_start_that_others_fail_is_logged_in_one_line(what: str, tmp_path: Path) -> None:
    port = lasting_port()
    wanted = settings(f"ws://127.0.0.1:{port}") | {"mcp_servers": "words=/no/such/program"}
    start = dict(START)
    if what == "unknown":
        wanted["realtime_api_base_uri"] = "wss://no.such.host.invalid"
    if what == "program":
        start["toolset"] = "mcp:words"
    async with await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1") as plain:
        if what == "no tls":
            plain_port = plain.sockets[0].getsockname()[1]
            wanted["realtime_api_base_uri"] = f"wss://127.0.0.1:{plain_port}"
        with server_process(tmp_path, wanted, DEFAULT_ENTRY, DEFAULT_DEADLINES) as server:
            status, answer = await server.post("/start_agent", start)
            assert status in (502, 504), answer
            server.signal(signal.SIGTERM)
            assert await asyncio.to_thread(server.wait) == 0
            log = server.log.read_text()
    problems = [line for line in log.splitlines() if " ERROR " in line]
    phase = "tools" if what == "program" else "connecting"
    assert len(problems) == 1, log
    assert f"in phase {phase} " in problems[0]
    assert "Traceback" not in log
    assert "    | " not in log

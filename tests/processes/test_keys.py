"""Named keys on a real server: made, used for a call, kept over a restart, seen in record, metrics and log."""

from __future__ import annotations

import asyncio
import re
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.control.served_api import SECRET
from tests.deadlines import DEADLINE_S
from tests.processes.conftest import ServerProcess, server_process

OWNER = "an-api-key-of-the-settings"
SETTINGS = {
    "local_model_uri": "ws://127.0.0.1:9",
    "api_keys": [OWNER],
    "room_token_secret": SECRET,
}
CHANNEL = {"channel_name": "demo"}


class Client:
    def __init__(self, http: aiohttp.ClientSession) -> None:
        self._http = http

    async def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        async with self._http.request(method, path, json=body) as answer:
            return answer.status, await answer.json()

    async def text(self, path: str) -> str:
        async with self._http.get(path) as answer:
            return await answer.text()


@asynccontextmanager
async def client(server: ServerProcess, key: str) -> AsyncIterator[Client]:
    headers = {"Authorization": f"Bearer {key}"}
    async with aiohttp.ClientSession(server.url, headers=headers) as http:
        yield Client(http)


@pytest.mark.asyncio
async def test_a_key_and_its_call_over_a_restart(tmp_path: Path) -> None:
    with server_process(tmp_path, SETTINGS) as server:
        async with client(server, OWNER) as owner:
            wanted = {"name": "shop", "team": "sales", "scopes": ["start", "read_calls"]}
            status, made = await owner.ask("POST", "/keys", wanted | {"limits": {"agents": 1}})
            assert status == 201
            _, other = await owner.ask("POST", "/keys", {"name": "help", "scopes": ["read_calls"]})
        shop, helpdesk = made["secret"], other["secret"]
        async with client(server, shop) as http:
            status, started = await http.ask("POST", "/start_agent", CHANNEL)
            assert status == 200, started
            status, refused = await http.ask("POST", "/start_agent", {"channel_name": "two"})
            assert (status, refused["code"]) == (429, "key_limit")
            status, live = await http.ask("GET", "/agents/demo")
            assert (live["team"], live["key"]) == ("sales", "shop")
            assert (await http.ask("POST", "/agents/demo/say", {"text": "x"}))[0] == 403
        async with client(server, helpdesk) as http:
            assert (await http.ask("GET", "/agents"))[1] == {"agents": []}
            assert (await http.ask("GET", "/agents/demo"))[0] == 404
        async with client(server, shop) as http:
            assert (await http.ask("POST", "/stop_agent", CHANNEL))[0] == 200
            # Its place is free.
            assert (await http.ask("POST", "/start_agent", CHANNEL))[0] == 200
            assert (await http.ask("POST", "/stop_agent", CHANNEL))[0] == 200
        async with client(server, OWNER) as owner:
            metrics = await owner.text("/metrics")
            assert re.search(r'^parley_key_starts_total\{key="shop"\} 2\.0$', metrics, re.MULTILINE)
            assert re.search(
                r'^parley_key_refusals_total\{key="shop"\} 1\.0$', metrics, re.MULTILINE
            )
            assert 'parley_key_agents{key="shop"} 0.0' in metrics
        # What waits is written at the end.
        server.signal(signal.SIGTERM)
        await asyncio.to_thread(server.wait)
    log = server.log.read_text()
    assert shop not in log
    assert made["key"]["name"] == "shop"
    with server_process(tmp_path, SETTINGS) as server:
        async with client(server, OWNER) as owner:
            _, keys = await owner.ask("GET", "/keys")
            (kept,) = [one for one in keys["keys"] if one["name"] == "shop"]
            assert kept["last_used_at_ms"] is not None
            _, page = await owner.ask("GET", "/audit?key=shop&action=start_agent")
            # That beyond the limit did nothing, and is not in it.
            assert [one["status"] for one in page["entries"]] == [200, 200]
            assert page["entries"][1]["call_id"] == started["agent_id"]
        async with client(server, helpdesk) as http:
            assert (await http.ask("GET", "/calls"))[1]["calls"] == []
            assert (await http.ask("GET", f"/calls/{started['agent_id']}"))[0] == 404
        async with client(server, shop) as http:
            status, call = await http.ask("GET", f"/calls/{started['agent_id']}")
            assert (status, call["team"], call["key"]) == (200, "sales", "shop")
        async with client(server, OWNER) as owner:
            assert (await owner.ask("DELETE", "/keys/shop"))[0] == 200
        async with client(server, shop) as http:
            assert (await http.ask("GET", "/agents"))[0] == 401


@pytest.mark.asyncio
async def test_tokens_of_a_revoked_key_let_nobody_into_a_room(tmp_path: Path) -> None:
    with server_process(tmp_path, SETTINGS) as server:
        async with client(server, OWNER) as owner:
            _, made = await owner.ask("POST", "/keys", {"name": "shop", "scopes": ["start"]})
            async with client(server, made["secret"]) as http:
                _, minted = await http.ask("POST", "/token", CHANNEL | {"uid": 7})
            assert (await joined(server, minted["token"]))["type"] == "joined"
            assert (await owner.ask("DELETE", "/keys/shop"))[0] == 200
            assert (await joined(server, minted["token"]))["code"] == "unauthorized"


async def joined(server: ServerProcess, token: str) -> Any:
    """What the room answers to one who comes with this token."""
    async with (
        aiohttp.ClientSession(server.url) as http,
        http.ws_connect("/rooms/demo/ws") as socket,
    ):
        await socket.send_json({"type": "join", "role": "user", "uid": 7, "token": token})
        answer = await socket.receive_json(timeout=DEADLINE_S)
        if answer["type"] == "joined":
            await socket.send_json({"type": "leave"})
            await socket.receive(timeout=DEADLINE_S)
        return answer

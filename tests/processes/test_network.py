"""The server's settings reach the real agent's media, and everybody who joins."""

from __future__ import annotations

import re
from pathlib import Path

import aiohttp
import pytest
from aiortc import RTCPeerConnection

from control.child.entry import DEFAULT_ENTRY
from control.supervisor.stop_sequence import DEFAULT_DEADLINES
from tests.deadlines import DEADLINE_S
from tests.fakes.media_gate import own_address
from tests.fakes.openai_realtime import FakeRealtimeServer
from tests.processes.conftest import server_process

PORTS = (29_340, 29_349)
OUTSIDE = "203.0.113.7"


async def _offer() -> str:
    client = RTCPeerConnection()
    client.addTransceiver("audio")
    await client.setLocalDescription(await client.createOffer())
    sdp: str = client.localDescription.sdp
    await client.close()
    return sdp


@pytest.mark.asyncio
async def test_settings_reach_agents_and_people(tmp_path: Path) -> None:
    async with FakeRealtimeServer() as provider:
        settings = {
            "model_provider": "openai",
            "openai_api_key": "sk-test",
            "realtime_api_base_uri": provider.uri,
            "local_model_uri": "ws://127.0.0.1:9",
            "media_bind_address": own_address(6),
            "media_ports": PORTS,
            "media_advertised_address": OUTSIDE,
            "turn_urls": ("turn:127.0.0.1:9?transport=tcp",),
            "turn_secret": "a secret of the TURN server",
        }
        with server_process(tmp_path, settings, DEFAULT_ENTRY, DEFAULT_DEADLINES) as server:
            status, answer = await server.post(
                "/start_agent", {"channel_name": "demo", "uid": 1000}
            )
            assert status == 200, answer
            call = {"type": "offer", "sdp": await _offer()}
            status, answer = await server.post("/rooms/demo/call", call)
            assert status == 200, answer
            found = re.findall(r"a=candidate:\S+ 1 udp \d+ (\S+) (\d+) typ (\w+)", answer["sdp"])
            assert [(address, kind) for address, _, kind in found] == [(OUTSIDE, "host")]
            assert PORTS[0] <= int(found[0][1]) <= PORTS[1]
            async with (
                aiohttp.ClientSession() as http,
                http.ws_connect(f"{server.url}/rooms/demo/ws") as socket,
            ):
                await socket.send_json({"type": "join", "role": "user", "uid": 7})
                joined = await socket.receive_json(timeout=DEADLINE_S)
            (turn,) = joined["ice_servers"]
            assert turn["urls"] == ["turn:127.0.0.1:9?transport=tcp"]
            assert turn["username"].endswith(":7")
            assert joined["is_relay_only"] is False
            log = server.log.read_text()
            # The TURN server that is not there is named, its secret nowhere.
            assert "turn:127.0.0.1:9?transport=tcp" in log
            assert "a secret of" not in log

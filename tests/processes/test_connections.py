"""Connections of a whole server: idle clients do not block others."""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path

import pytest

from tests.processes.conftest import server_process

QUICKLY = {"local_model_uri": "ws://127.0.0.1:9", "head_timeout_s": 2.0}


@pytest.mark.asyncio
@pytest.mark.parametrize("data", [b"", b"GET /healthz HTTP/1.1\r\nX: "])
async def test_idle_connections_do_not_block_new_ones(data: bytes, tmp_path: Path) -> None:
    limits = {"max_connections": 120, "max_connections_per_address": 60}
    with server_process(tmp_path, QUICKLY | limits) as server:
        port = int(server.url.rpartition(":")[2])
        crowd = [socket.create_connection(("127.0.0.1", port)) for _ in range(400)]
        try:
            for client in crowd:
                with contextlib.suppress(ConnectionError):  # some had to go already
                    client.send(data)
            assert (await server.get("/healthz"))[0] == 200
            status, _ = await server.post("/start_agent", {"channel_name": "demo", "uid": 1000})
            assert status == 200
            assert (await server.get("/agents"))[0] == 200
            for client in crowd:
                client.settimeout(20.0)
                with contextlib.suppress(ConnectionResetError):
                    assert client.recv(1) == b""
        finally:
            for client in crowd:
                client.close()
        assert (await server.get("/readyz"))[0] == 200
    assert "out of system resource" not in server.log.read_text()
    assert "Traceback" not in server.log.read_text()

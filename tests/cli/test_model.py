"""`python -m main model` as an owner runs it: a server of OpenAI's Realtime API of its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from tests.deadlines import DEADLINE_S
from tests.fakes.ports import lasting_port

ROOT = Path(__file__).resolve().parents[2]
KEY = "model-server-key-0123456789abcdef"


@asynccontextmanager
async def _model_server(**environment: str) -> AsyncIterator[str]:
    """Its URL once it answers."""
    port = lasting_port("127.0.0.1")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "main", "model", f"--port={port}"),
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **environment},
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    log = ""
    try:
        async with asyncio.timeout(DEADLINE_S):
            while f":{port}/v1" not in log:
                line = (await process.stderr.readline()).decode()
                assert line, log
                log += line
        yield f"http://127.0.0.1:{port}"
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(DEADLINE_S):
            _, rest = await process.communicate()
    log += rest.decode()
    assert process.returncode == 0, log
    assert KEY not in log


@pytest.mark.asyncio
async def test_it_takes_calls_and_wants_the_key() -> None:
    async with _model_server(LOCAL_MODEL_API_KEY=KEY) as url, aiohttp.ClientSession() as http:
        calls, sdp = f"{url}/v1/realtime/calls", {"Content-Type": "application/sdp"}
        async with http.post(calls, data=b"v=0", headers=sdp) as answer:
            assert answer.status == 401
        sdp["Authorization"] = f"Bearer {KEY}"
        async with http.post(calls, data=b"v=0", headers=sdp) as answer:
            assert (answer.status, (await answer.json())["error"]["param"]) == (400, "sdp")

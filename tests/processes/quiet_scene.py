"""`python -m tests.processes.quiet_scene FOLDER`: everything that is part of Parley, once.

A server with the local model, warm processes, spans and webhooks for nobody, tools of an MCP
server; an agent in it, a caller with a question, a token, an agent in the foreground.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import sys
from pathlib import Path

import aiohttp

from tests.fakes.ports import lasting_port
from tests.real_server import ROOT, RealServer, open_real_server

SECRET = "s" * 40
SPEECH = ROOT / "tests" / "data" / "speech"
START = {"channel_name": "demo", "uid": 1000, "toolset": "mcp:words", "greeting": "Good day."}
DEADLINE_S = 90.0
LOITER_S = 12.0
"""Telemetry is sent by timers."""


async def main() -> None:
    folder = Path(sys.argv[1])
    words = [sys.executable, str(ROOT / "tests" / "fakes" / "mcp_server.py"), str(folder / "pid")]
    nobody = f"http://127.0.0.1:{lasting_port()}"
    async with open_real_server(
        ROOM_TOKEN_SECRET=SECRET,
        OTEL_EXPORTER_OTLP_ENDPOINT=nobody,
        WEBHOOK_URL=f"{nobody}/hook",
        WEBHOOK_SECRET="whsec_" + "c2VjcmV0" * 4,
        MCP_SERVERS=f"words={shlex.join(words)}",
    ) as server:
        async with aiohttp.ClientSession() as http:
            url = f"{server.url}start_agent"
            async with http.post(url, json=START) as answer:
                assert answer.status == 200, await answer.text()
        asked = f"--in={SPEECH / 'u01_f.wav'}", f"--out={folder / 'answer.wav'}"
        said = await command("call", "--channel_name=demo", f"--server={server.url}", *asked)
        assert "agent:" in said, said
        await command("token", "--channel_name=demo", "--uid=7")
        await foreground(server)
        await asyncio.sleep(LOITER_S)


async def command(*arguments: str) -> str:
    process = await spawn(*arguments)
    async with asyncio.timeout(DEADLINE_S):
        output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    return output.decode()


async def foreground(server: RealServer) -> None:
    """Run an agent in its own process until it is ready, then stop it."""
    process = await spawn("agent", "--channel_name=two", "--uid=1001", f"--server={server.url}")
    assert process.stdout is not None
    async with asyncio.timeout(DEADLINE_S):
        while b"-> ready" not in (line := await process.stdout.readline()):
            assert line, "it ended"
        process.terminate()
        await process.communicate()


async def spawn(*arguments: str) -> asyncio.subprocess.Process:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "PYTHONDONTWRITEBYTECODE")}
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "main", *arguments),
        cwd=ROOT,
        env=kept | {"ROOM_TOKEN_SECRET": SECRET, "PARLEY_ENV_FILE": ""},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )


if __name__ == "__main__":
    asyncio.run(main())

"""A server that is set up by a `.env` file alone: it is read, and its children inherit no secret."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import aiohttp
import psutil  # type: ignore[import-untyped]

from tests.deadlines import DEADLINE_S

ROOT = Path(__file__).resolve().parents[2]
KEY = "api-key-of-the-env-file"
PROXY = "http://proxy.example:3128"


def environment_of(process: psutil.Process) -> str:
    """The environment of a running process, as it was started with."""
    return Path(f"/proc/{process.pid}/environ").read_text(errors="replace")


async def statuses(url: str) -> list[int]:
    """What a request for the agents gets without a key, and with it."""
    found = []
    async with aiohttp.ClientSession() as http:
        for headers in ({}, {"Authorization": f"Bearer {KEY}"}):
            async with http.get(f"{url.rstrip('/')}/agents", headers=headers) as answer:
                found.append(answer.status)
    return found


def test_a_server_reads_its_settings_and_passes_no_secret_on(tmp_path: Path) -> None:
    lines = (
        f"API_KEYS={KEY}",
        f"HTTPS_PROXY={PROXY}",
        "SERVER_PORT=0",
        f"DATA_DIR={tmp_path / 'data'}",
        "WARM_PROCESSES=1",
        "MAX_AGENT=3",
    )
    (tmp_path / ".env").write_text("\n".join(lines))
    log = tmp_path / "server.log"
    with (
        log.open("w") as stderr,
        subprocess.Popen(
            [sys.executable, "-m", "main", "server"],
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
        ) as process,
    ):
        try:
            assert process.stdout is not None
            url = re.findall(r"http\S+", process.stdout.readline())[0]
            assert asyncio.run(statuses(url)) == [401, 200]
            children = psutil.Process(process.pid).children(recursive=True)
            assert children
            given = [environment_of(child) for child in children]
            assert not [text for text in given if KEY in text]
            # The local model is a command of ours in the project's folder: it reads no file either.
            assert any("PARLEY_ENV_FILE=\0" in text for text in given)
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(DEADLINE_S)
    text = log.read_text()
    assert "MAX_AGENT (.env, line 6) is no setting, and not read: is MAX_AGENTS meant?" in text
    assert KEY not in text

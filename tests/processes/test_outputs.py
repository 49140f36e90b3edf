"""A server serves although its log or standard output is not read, or is missing."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import psutil  # type: ignore[import-untyped]
import pytest

from tests.deadlines import DEADLINE_S
from tests.fakes.outputs import KINDS, bad_output, is_blocking
from tests.fakes.ports import lasting_port
from tests.processes.conftest import ROOT, all_gone, server_process, until
from tests.processes.test_server import start_body

QUIET_S = 3.0
"""A server that ends of what it could not print does so by then."""


@pytest.mark.asyncio
@pytest.mark.parametrize(("kind", "warm"), [*((kind, 0) for kind in KINDS), ("stuck pipe", 2)])
async def test_agents_start_live_and_stop_whatever_became_of_the_log(
    kind: str, warm: int, tmp_path: Path
) -> None:
    wanted = {"local_model_uri": "ws://127.0.0.1:9", "warm_processes": warm}
    with bad_output(kind) as output:
        with server_process(tmp_path, wanted, error_output=output.fd) as server:
            status, answer = await server.post("/start_agent", start_body("live"))
            assert status == 200, answer
            pid = (await server.get("/agents/live"))[1]["pid"]
            for _ in range(3):
                status, answer = await server.post("/start_agent", start_body("more"))
                assert status == 200, answer
                status, answer = await server.post("/stop_agent", {"channel_name": "more"})
                assert (status, answer["exit_reason"]) == (200, "stopped"), answer
            status, answer = await server.post("/start_agent", start_body("bad", "raise"))
            assert status == 502, answer
            _, shown = await server.get("/agents/live")
            assert (shown["pid"], shown["restarts"], shown["last_exit"]) == (pid, 0, None)
            family = server.descendants()
            server.signal(signal.SIGTERM)
            assert await asyncio.to_thread(server.wait) == 0
        await until(lambda: all_gone(family))
        assert is_blocking(output.fd)


def command(shell: str, *arguments: str) -> tuple[str, ...]:
    """`main` with these arguments, after a shell did something to what it inherits."""
    return ("bash", "-c", f'{shell} exec "$@"', "bash", sys.executable, "-m", "main", *arguments)


def environment(folder: Path) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "PARLEY_ENV_FILE": "",
        "DATA_DIR": str(folder / "data"),
        "LOCAL_MODEL_URI": "ws://127.0.0.1:9",
        "WARM_PROCESSES": "0",
    }


@asynccontextmanager
async def by_command(
    folder: Path, shell: str = "", **outputs: Any
) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """`main server` as a user runs it, until it answers."""
    port = lasting_port()
    process = await asyncio.create_subprocess_exec(
        *command(shell, "server", f"--port={port}"),
        cwd=ROOT,
        env=environment(folder),
        stdin=asyncio.subprocess.DEVNULL,
        **outputs,
    )
    try:
        url = f"http://127.0.0.1:{port}"
        await wait_healthy(process, url)
        yield process, url
    finally:
        if process.returncode is None:
            for one in psutil.Process(process.pid).children(recursive=True):
                one.kill()
            process.kill()
        await process.wait()


async def wait_healthy(process: asyncio.subprocess.Process, url: str) -> None:
    async with asyncio.timeout(DEADLINE_S), aiohttp.ClientSession() as http:
        while True:
            assert process.returncode is None, "it ended"
            with contextlib.suppress(aiohttp.ClientError):
                async with http.get(f"{url}/healthz") as response:
                    assert response.status == 200
                    return
            await asyncio.sleep(0.05)


async def serves_and_ends(process: asyncio.subprocess.Process, url: str) -> None:
    """Not only for the moment; and it ends as it is asked to."""
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(QUIET_S):
            await process.wait()
    await wait_healthy(process, url)
    process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(DEADLINE_S):
        assert await process.wait() == 0


@pytest.mark.asyncio
@pytest.mark.parametrize("kind", KINDS)
async def test_it_serves_whatever_became_of_its_standard_output(kind: str, tmp_path: Path) -> None:
    log = (tmp_path / "log").open("wb")
    with log, bad_output(kind) as output:
        async with by_command(tmp_path, stdout=output.fd, stderr=log) as (process, url):
            await serves_and_ends(process, url)
            assert is_blocking(output.fd)
    assert "Traceback" not in (tmp_path / "log").read_text()


@pytest.mark.asyncio
@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
async def test_it_serves_without_outputs_and_no_file_gets_their_place(
    closed: str, tmp_path: Path
) -> None:
    async with by_command(tmp_path, f"exec {closed};") as (process, url):
        for fd, name in ((0, "<"), (1, " >"), (2, "2>")):
            if name in f" {closed}":
                assert os.readlink(f"/proc/{process.pid}/fd/{fd}") == os.devnull
        await serves_and_ends(process, url)


@pytest.mark.parametrize("kind", ["broken pipe", "broken socket", "full disk"])
def test_a_token_that_cannot_be_printed_is_no_success(kind: str, tmp_path: Path) -> None:
    with bad_output(kind) as output:
        done = subprocess.run(
            command("", "token", "--channel_name=demo", "--uid=7"),
            cwd=ROOT,
            env=environment(tmp_path) | {"ROOM_TOKEN_SECRET": "s" * 32},
            stdout=output.fd,
            stderr=subprocess.PIPE,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr.startswith("main: the token cannot be printed: ")
    assert done.stderr.count("\n") == 1


def test_what_stops_a_start_is_one_line_also_within_a_group_of_tasks(tmp_path: Path) -> None:
    done = subprocess.run(
        command("ulimit -n 12;", "server", "--port=0"),
        cwd=ROOT,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    *_, last = done.stderr.splitlines()
    assert last.startswith("main: "), done.stderr
    assert "Too many open files" in last
    assert "Traceback" not in done.stderr

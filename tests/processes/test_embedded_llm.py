"""The embedded language model beside a server: started, replaced, stopped, and reported on."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import psutil  # type: ignore[import-untyped]
import pytest

from config.local_model import EMBEDDED_MODEL
from config.settings import ConfigError, Settings
from control import readiness
from tests.deadlines import DEADLINE_S
from tests.processes.conftest import ROOT, ServerProcess, all_gone, server_aside, until

EMBEDDED = {"llm_model": EMBEDDED_MODEL}
SPEECH = [sys.executable, "-m", "tests.control.supervisor.server_stand_in", "{fd}", "ready"]


@pytest.fixture(autouse=True)
def no_speech(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for the speech server, which would load for seconds."""
    monkeypatch.setenv("PARLEY_TEST_MODEL", json.dumps(SPEECH))


def _language_models(process: psutil.Process) -> list[psutil.Process]:
    found = []
    for one in process.children(recursive=True):
        try:
            if one.cmdline()[1:4] == ["-m", "main", "llm"]:
                found.append(one)
        except psutil.Error:
            continue
    return found


async def _report(server: ServerProcess) -> dict[str, Any]:
    return (await server.get("/readyz"))[1]


async def _wait_ready(server: ServerProcess, *, after: int | None = None) -> psutil.Process:
    """Return its process, once it serves; `after` is the pid of the one before."""
    async with asyncio.timeout(DEADLINE_S * 2):
        while True:
            state = (await _report(server))["language_model"]
            running = _language_models(psutil.Process(server.process.pid))
            if state == "ready" and len(running) == 1 and running[0].pid != after:
                return running[0]
            await asyncio.sleep(0.05)


@pytest.mark.asyncio
async def test_it_is_replaced_when_it_is_killed_and_stopped_with_the_server(tmp_path: Path) -> None:
    async with server_aside(tmp_path, EMBEDDED) as server:
        first = await _wait_ready(server)
        first.send_signal(signal.SIGKILL)
        await _wait_ready(server, after=first.pid)
        report = await _report(server)
        assert (report["status"], report["warnings"]) == ("ready", [])
        left = server.descendants()
        server.signal(signal.SIGTERM)
        await until(lambda: server.process.poll() is not None)
        assert server.process.returncode == 0
        await until(lambda: all_gone(left))
        log = server.log.read_text()
        assert "embedded language model starting -> ready" in log
        assert "embedded language model: ended by Killed; restart in" in log


@pytest.mark.asyncio
async def test_it_ends_with_a_server_that_is_killed(tmp_path: Path) -> None:
    async with server_aside(tmp_path, EMBEDDED) as server:
        model = await _wait_ready(server)
        server.signal(signal.SIGKILL)
        await until(lambda: all_gone([model]))


@pytest.mark.asyncio
async def test_a_local_model_without_it_says_what_answers(tmp_path: Path) -> None:
    async with server_aside(
        tmp_path, {"llm_base_url": "http://127.0.0.1:9/v1", "llm_model": "m"}
    ) as server:
        assert (await _report(server))["language_model"] == "external"
        assert _language_models(psutil.Process(server.process.pid)) == []


def test_a_server_without_the_packages_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "missing_package", lambda: "xllamacpp")
    with pytest.raises(ConfigError, match="xllamacpp: run `make setup LLM=embedded`"):
        readiness.require_startable(Settings(llm_model=EMBEDDED_MODEL), "127.0.0.1")
    # There the local model is another server's matter.
    elsewhere = Settings(llm_model=EMBEDDED_MODEL, local_model_uri="ws://127.0.0.1:9")
    readiness.require_embedded_model(elsewhere)
    readiness.require_embedded_model(Settings())


@contextmanager
def _alone(command: str, **environ: str) -> Iterator[psutil.Process]:
    """`main COMMAND` at any port."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    with subprocess.Popen(
        [sys.executable, "-m", "main", command, "--port", "0"],
        cwd=ROOT,
        env=kept | {"PARLEY_ENV_FILE": ""} | environ,
    ) as process:
        try:
            yield psutil.Process(process.pid)
            process.terminate()
            assert process.wait(DEADLINE_S) == 0
        finally:
            process.kill()


@pytest.mark.asyncio
async def test_a_model_server_alone_has_it_too() -> None:
    with _alone("model", LLM_MODEL=EMBEDDED_MODEL) as parent:
        await until(lambda: _language_models(parent), DEADLINE_S * 3)
        (model,) = _language_models(parent)
        url = f"http://127.0.0.1:{_port_of(model)}/healthz"
        async with aiohttp.ClientSession() as http, http.get(url) as response:
            assert response.status in (200, 503)
    await until(lambda: all_gone([model]))


@pytest.mark.asyncio
async def test_alone_it_asks_for_the_key() -> None:
    with _alone("llm", LOCAL_MODEL_API_KEY="0123456789abcdef") as process:
        await until(lambda: _port_of(process), DEADLINE_S * 3)
        async with aiohttp.ClientSession(f"http://127.0.0.1:{_port_of(process)}") as http:
            async with http.get("/v1/models") as response:
                assert response.status == 401
            headers = {"Authorization": "Bearer 0123456789abcdef"}
            async with http.get("/v1/models", headers=headers) as response:
                assert response.status == 200


@pytest.mark.asyncio
async def test_it_ends_though_it_is_stopped_while_it_loads() -> None:
    """Then it is freed as soon as it is loaded, before llama.cpp's own threads have begun."""
    with ExitStack() as stack:
        models = [stack.enter_context(_alone("llm")) for _ in range(4)]
        for each in models:
            # On one core they hold each other up.
            each.cpu_affinity([min(os.sched_getaffinity(0))])
        for each in models:
            await until(partial(_port_of, each), DEADLINE_S * 3)


def _port_of(process: psutil.Process) -> int:
    """Return the port that it listens on; 0: none yet."""
    ports = [each.laddr.port for each in process.net_connections("tcp") if each.status == "LISTEN"]
    return int(ports[0]) if ports else 0

"""Ready means that a start would be taken: what is printed, what /readyz says and what starts get agree."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import aiohttp
import pytest

from config.settings import Settings
from control.api.schemas import StartAgentRequest
from control.api.starts import AgentConfigurator
from control.http.errors import ApiError
from control.readiness import ReadinessChecks, find_problems, missing_provider
from tests.deadlines import DEADLINE_S
from tests.processes.conftest import ROOT, server_aside, until

START = {"channel_name": "demo", "uid": 1000, "wait": False}


@contextmanager
def by_command(tmp_path: Path, **environ: str) -> Iterator[tuple[IO[str], Path]]:
    """`main server` with this environment; gives its standard output and its log."""
    log = tmp_path / "server.log"
    usual = {"SERVER_PORT": "0", "DATA_DIR": str(tmp_path / "data"), "WARM_PROCESSES": "0"}
    usual["PARLEY_ENV_FILE"] = ""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    with (
        log.open("w") as stderr,
        subprocess.Popen(
            [sys.executable, "-m", "main", "server"],
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            cwd=ROOT,
            env=kept | usual | environ,
        ) as process,
    ):
        assert process.stdout is not None
        try:
            yield process.stdout, log
        finally:
            process.terminate()
            process.wait(DEADLINE_S)


async def ask(url: str, path: str, body: dict[str, Any] | None = None) -> tuple[int, Any]:
    method = "GET" if body is None else "POST"
    async with (
        aiohttp.ClientSession(url) as http,
        http.request(method, path, json=body) as response,
    ):
        return response.status, await response.json()


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"MODEL_PROVIDER": "openai"}, "OPENAI_API_KEY: set it"),
        ({"MODEL_PROVIDER": "gemini"}, "GEMINI_API_KEY: set it"),
        ({"MODEL_PROVIDER": "azure", "AZURE_OPENAI_API_KEY": "k"}, "AZURE_OPENAI_DEPLOYMENT"),
        ({"FALLBACK_PROVIDER": "openai", "LOCAL_MODEL_URI": "ws://127.0.0.1:9"}, "OPENAI_API_KEY"),
        ({"MAX_COST": "1", "LOCAL_MODEL_URI": "ws://127.0.0.1:9"}, "MODEL_PRICES has no price"),
    ],
)
async def test_a_server_whose_starts_would_be_refused_says_why(
    tmp_path: Path, environ: dict[str, str], words: str
) -> None:
    with by_command(tmp_path, **environ) as (output, _):
        line = output.readline()
        assert line.startswith("Parley is not ready: http://127.0.0.1:"), line
        reason = output.readline().strip()
        assert words in reason
        url = line.split()[-1]
        status, ready = await ask(url, "/readyz")
        assert (status, ready["status"], ready["problems"]) == (503, "not_ready", [reason])
        status, refused = await ask(url, "/start_agent", START)
        assert (status, refused["error"]) == (400, reason)


@pytest.mark.asyncio
async def test_the_line_says_ready_when_the_local_model_is(tmp_path: Path) -> None:
    with by_command(tmp_path, MAX_AGENT="3", VERBOSES="1") as (output, log):
        line = output.readline()
        assert line.startswith("Parley is ready: http://127.0.0.1:"), log.read_text()
        status, ready = await ask(line.split()[-1], "/readyz")
        assert (status, ready["local_model"], ready["problems"]) == (200, "ready", [])
        # The log is written by a thread.
        await until(lambda: log.read_text().count("is no setting, and not read") == 2)
        assert "MAX_AGENT is no setting, and not read: is MAX_AGENTS meant?" in log.read_text()


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"MODEL_PROVIDER": "openai"},
        {"MODEL_PROVIDER": "openai", "OPENAI_API_KEY": "k"},
        {"MODEL_PROVIDER": "openai-beta", "OPENAI_BETA_API_KEY": "k"},
        {"MODEL_PROVIDER": "dashscope"},
        {"MODEL_PROVIDER": "acme", "PROVIDER_FACTORIES": "acme=json:loads"},
        {"FALLBACK_PROVIDER": "gemini"},
        {"MAX_COST": "3"},
        {"MAX_COST": "3", "MODEL_PRICES": "parley-local=input:1,output:2"},
    ],
)
def test_a_problem_is_reported_exactly_when_a_start_is_refused(environ: dict[str, str]) -> None:
    settings = Settings.from_env({"LOCAL_MODEL_URI": "ws://127.0.0.1:9", **environ})
    configurator = AgentConfigurator(settings, "http://127.0.0.1:1", None)
    try:
        configurator.configure(StartAgentRequest(channel_name="demo", uid=7))
        refusal = None
    except ApiError as error:
        refusal = str(error)
    assert configurator.problem == refusal


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ("acme=json:loads", None),
        ("acme=no_such_module_of_ours.realtime:create", "no_such_module_of_ours"),
        ("acme=json", "is not name=package.module:function"),
    ],
)
def test_a_provider_that_cannot_be_made_is_missing(entry: str, problem: str | None) -> None:
    settings = Settings(model_provider="acme", provider_factories=entry)
    missing = missing_provider(settings)
    assert (missing is None) if problem is None else (problem in str(missing))


@pytest.mark.parametrize(
    ("proxy", "words"),
    [
        ("socks5://me:secret@127.0.0.1:1", "HTTPS_PROXY names a proxy of kind socks5"),
        ("http://me:secret@[::1", "HTTPS_PROXY is not an address"),
        ("http://me:secret@host:99999", "HTTPS_PROXY is not an address"),
        ("http://127.0.0.1:1", None),
    ],
)
def test_a_proxy_that_cannot_be_used_is_a_problem_of_those_it_is_for(
    proxy: str, words: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("https_proxy", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    problem = missing_provider(
        Settings.from_env({"MODEL_PROVIDER": "openai", "OPENAI_API_KEY": "k"})
    )
    assert (problem is None) if words is None else (words in str(problem))
    assert "secret" not in str(problem)
    assert missing_provider(Settings()) is None, "the local model needs none"


def test_an_address_that_no_url_can_hold_is_a_problem() -> None:
    environ = {"MODEL_PROVIDER": "openai", "OPENAI_API_KEY": "k"}
    settings = Settings.from_env({**environ, "REALTIME_API_BASE_URI": "wss://\u00e9..example"})
    assert "is not a usable address" in str(missing_provider(settings))


def test_a_data_folder_that_is_gone_is_a_warning(tmp_path: Path) -> None:
    settings = Settings.from_env({"DATA_DIR": str(tmp_path / "data")})
    assert [line.partition(":")[0] for line in find_problems(settings)] == ["DATA_DIR"]
    settings.data_dir.mkdir()
    assert not [*find_problems(settings)]


@pytest.mark.asyncio
async def test_what_starts_may_ask_for_is_looked_at_while_the_server_runs(tmp_path: Path) -> None:
    folder = tmp_path / "recordings"
    settings = Settings.from_env(
        {
            "DATA_DIR": str(tmp_path),
            "RECORDINGS_DIR": str(folder),
            "MCP_SERVERS": "here=python3 -m x;there=http://127.0.0.1:9/mcp;gone=no-such-program --key k",
        }
    )
    lines = [*find_problems(settings)]
    assert [line.partition(":")[0] for line in lines] == ["RECORDINGS_DIR", "MCP_SERVERS"]
    assert "the program of gone is not found" in lines[1]
    assert "--key" not in lines[1]
    folder.mkdir()
    assert [*find_problems(settings)] == lines[1:]
    checks = ReadinessChecks(settings)
    checks.start()
    await until(lambda: checks.warnings() == lines[1:])
    await checks.close()


@pytest.mark.asyncio
async def test_a_lost_folder_is_a_warning_and_starts_go_on(tmp_path: Path) -> None:
    wanted = {"local_model_uri": "ws://127.0.0.1:9", "recordings_dir": str(tmp_path / "r")}
    async with server_aside(tmp_path, wanted) as server:
        assert (await server.get("/readyz"))[1]["warnings"] == []
        (tmp_path / "r").rmdir()
        async with asyncio.timeout(DEADLINE_S):
            while not (shown := (await server.get("/readyz"))[1])["warnings"]:  # noqa: ASYNC110
                await asyncio.sleep(0.2)
        assert shown["status"] == "ready"
        assert "RECORDINGS_DIR" in shown["warnings"][0]
        assert (await server.post("/start_agent", START | {"wait": True}))[0] == 200

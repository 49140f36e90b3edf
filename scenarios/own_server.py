"""A server of the command's own: `python -m main server` with the owner's app, which ends with the command.

It is as the owner's settings have it, but for what would reach beyond the tests: it listens on loopback
alone, on a free port, needs no key, keeps its data in a temporary folder, and sends no webhooks.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import shutil
import signal
import sys
import tempfile
from collections import deque
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Final

import aiohttp

from config.environment import DEFAULT_ENV_FILE, ENV_FILE_VARIABLE
from scenarios.format import ScenarioError
from utils import OwnedTasks

READY_S: Final = 120.0
"""Until the server and its local model are ready."""

_STOP_S: Final = 30.0
_READY_POLL_S: Final = 0.1
_KEPT_LINES: Final = 30
_ROOT: Final = Path(__file__).resolve().parents[1]
_ADDRESS: Final = re.compile(r"http://127\.0\.0\.1:\d+")

_log = logging.getLogger("scenario")


def _overrides(
    data_dir: str, language_model_url: str, environ: Mapping[str, str]
) -> dict[str, str]:
    """Return the settings that a server of tests has of its own."""
    allowed = [each for each in environ.get("CASCADE_BASE_URLS", "").split(",") if each.strip()]
    return {
        "SERVER_HOST": "127.0.0.1",
        "DATA_DIR": data_dir,
        "RECORDINGS_DIR": str(Path(data_dir, "recordings")),
        "CASCADE_BASE_URLS": ",".join([*allowed, language_model_url]),
        **dict.fromkeys(
            ("API_KEYS", "ROOM_TOKEN_SECRET", "ROOM_TOKEN_OLD_SECRETS", "STORE_URL", "METRICS_TOKEN",
             "WEBHOOK_URL", "WEBHOOK_SECRET", "OTEL_EXPORTER_OTLP_ENDPOINT", "LOCAL_MODEL_URI",
             "LOCAL_MODEL_API_KEY", "GOODBYE"),
            "",
        ),
        "LOCAL_MODEL_PORT": "0",
        # Calls of tests wait for one another rather than be refused on a busy machine.
        "MAX_CPU_PERCENT": environ.get("MAX_CPU_PERCENT") or "100",
    }  # fmt: skip


@contextlib.asynccontextmanager
async def open_own_server(
    app: str | None, language_model_url: str, environ: Mapping[str, str]
) -> AsyncIterator[str]:
    """Start a server, yield its address when it is ready, and end it with everything it started.

    app: the owner's, as `--app` takes it; environ: the owner's settings

    Raises:
        ScenarioError: It does not start; the text is what it wrote.
    """
    data_dir = tempfile.mkdtemp(prefix="parley-test-")
    process: asyncio.subprocess.Process | None = None
    tasks = OwnedTasks(_log)
    try:
        process = await _spawn(
            _command(app or environ.get("APP") or None),
            _environment(environ, data_dir, language_model_url),
        )
        assert process.stdout is not None
        lines: deque[str] = deque(maxlen=_KEPT_LINES)
        url = await _read_url(process, lines)
        tasks.start(_drain(process.stdout, lines), name="server output")
        await _wait_until_ready(url, process, lines)
        yield url
    finally:
        if process is not None:
            await _stop(process)
        await tasks.close()
        await asyncio.to_thread(shutil.rmtree, data_dir, ignore_errors=True)


def _command(app: str | None) -> list[str]:
    command = [sys.executable, "-m", "main", "server", "--port", "0"]
    if app is not None:
        command += ["--app", str(Path(app).resolve()) if Path(app).exists() else app]
    # Ends with this process even if it is killed.
    return [sys.executable, "-m", "control.machine.prctl", str(os.getpid()), *command]


def _environment(
    environ: Mapping[str, str], data_dir: str, language_model_url: str
) -> dict[str, str]:
    own = {**environ, **_overrides(data_dir, language_model_url, environ), "APP": ""}
    # A module of the owner may be named by its place in this folder.
    paths = [str(_ROOT), environ.get("PYTHONPATH"), str(Path.cwd())]
    own["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    # The server runs in the folder of Parley, which has another file of this name, or none.
    file = Path(environ.get(ENV_FILE_VARIABLE, DEFAULT_ENV_FILE) or "/dev/null")
    own[ENV_FILE_VARIABLE] = str(file.resolve()) if file.is_file() else ""
    return own


async def _spawn(command: list[str], environ: dict[str, str]) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *command,
        cwd=_ROOT,
        env=environ,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        # Ctrl-C is for the command, which then ends the server in order.
        start_new_session=True,
    )


async def _read_url(process: asyncio.subprocess.Process, lines: deque[str]) -> str:
    assert process.stdout is not None
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(READY_S):
            while line := (await process.stdout.readline()).decode(errors="replace"):
                lines.append(line.rstrip())
                if (found := _ADDRESS.search(line)) is not None:
                    return found.group()
    last = [line for line in lines if line.startswith("main: ")] or lines
    raise ScenarioError("the server does not start:\n  " + "\n  ".join(last))


async def _drain(output: asyncio.StreamReader, lines: deque[str]) -> None:
    while True:
        try:
            line = await output.readline()
        except ValueError:
            # A line that is longer than the reader's buffer.
            continue
        if not line:
            return
        lines.append(line.decode(errors="replace").rstrip())
        _log.debug("server: %s", lines[-1])


async def _wait_until_ready(
    url: str, process: asyncio.subprocess.Process, lines: deque[str]
) -> None:
    try:
        async with asyncio.timeout(READY_S), aiohttp.ClientSession() as http:
            while process.returncode is None:
                with contextlib.suppress(aiohttp.ClientError):
                    async with http.get(f"{url}/readyz") as answer:
                        if answer.status == 200:
                            return
                await asyncio.sleep(_READY_POLL_S)
    except TimeoutError:
        pass
    raise ScenarioError("the server did not become ready:\n  " + "\n  ".join(lines))


async def _stop(process: asyncio.subprocess.Process) -> None:
    """End the server as its owner would; it ends its agents and its local model."""
    for number in (signal.SIGINT, signal.SIGKILL):
        if process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(number)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_STOP_S):
                await process.wait()

"""Notices to a service manager: a real socket in systemd's place, and a real server that talks to it."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from control.service_manager import ServiceManager
from tests.deadlines import DEADLINE_S
from tests.real_server import ROOT


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    """The receiving end, at `tmp_path / "notify"`."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as receiver:
        receiver.bind(str(tmp_path / "notify"))
        yield receiver


async def next_notice(manager: socket.socket) -> dict[str, str]:
    """The states of the next datagram."""
    async with asyncio.timeout(DEADLINE_S):
        text = (await asyncio.get_running_loop().sock_recv(manager, 4096)).decode()
    return dict(line.split("=", 1) for line in text.splitlines())


async def until_told(manager: socket.socket, name: str, value: str) -> None:
    """Read until a state has a value that contains `value`."""
    while value not in (await next_notice(manager)).get(name, ""):
        pass


@pytest.mark.asyncio
async def test_states_go_to_the_socket_of_the_environment(
    tmp_path: Path, manager: socket.socket
) -> None:
    environ = {"NOTIFY_SOCKET": str(tmp_path / "notify")}
    ServiceManager.from_environment(environ).notify(READY=1, STATUS="on")
    assert await next_notice(manager) == {"READY": "1", "STATUS": "on"}


@pytest.mark.asyncio
async def test_an_abstract_socket_is_written_with_an_at_sign() -> None:
    name = f"parley-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as receiver:
        receiver.bind("\0" + name)
        ServiceManager(f"@{name}").notify(READY=1)
        assert await next_notice(receiver) == {"READY": "1"}


def test_a_manager_that_is_gone_raises_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ServiceManager(str(tmp_path / "nothing")).notify(READY=1)
    assert "cannot be told" in caplog.text
    ServiceManager().notify(READY=1)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"WATCHDOG_USEC": "soon"},
        {"WATCHDOG_USEC": "-5"},
        {"WATCHDOG_USEC": "0"},
        {"WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"},
    ],
)
async def test_without_a_watchdog_for_this_process_none_is_fed(wrong: dict[str, str]) -> None:
    await ServiceManager.from_environment({"NOTIFY_SOCKET": "@x"} | wrong).feed_watchdog()


@pytest.mark.asyncio
async def test_a_server_tells_that_it_is_ready_alive_and_draining(
    tmp_path: Path, manager: socket.socket
) -> None:
    environ = {
        **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
        "PARLEY_ENV_FILE": "",
        "DATA_DIR": str(tmp_path / "data"),
        "LOCAL_MODEL_URI": "ws://127.0.0.1:9",
        "NOTIFY_SOCKET": str(tmp_path / "notify"),
        "WATCHDOG_USEC": "200000",
    }
    server = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "main", "server", "--port", "0"), cwd=ROOT, env=environ
    )
    try:
        await until_told(manager, "READY", "1")
        await until_told(manager, "WATCHDOG", "1")
        server.send_signal(signal.SIGTERM)
        await until_told(manager, "STATUS", "draining: calls may go on for 15 s")
        async with asyncio.timeout(DEADLINE_S):
            assert await server.wait() == 0
    finally:
        if server.returncode is None:
            server.kill()
            await server.wait()

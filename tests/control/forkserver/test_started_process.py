"""Children that are reaped on the loop: exit codes, signals, and what is left afterwards."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys

import pytest

from control.child.stack_dump import StackFile
from control.forkserver.started_process import ChildProcess, StartedProcess, watched_pids
from tests.deadlines import DEADLINE_S


def spawn(code: str) -> int:
    """Return the pid of a child that runs `code`; `Popen` itself never reaps it."""
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.DEVNULL)
    process.returncode = 0
    return process.pid


async def exited(process: ChildProcess) -> int | None:
    async with asyncio.timeout(DEADLINE_S):
        await process.exited.wait()
    return process.exit_code


@pytest.mark.asyncio
async def test_the_exit_code_is_that_of_the_process() -> None:
    ended: list[int | None] = []
    process = ChildProcess(spawn("raise SystemExit(3)"), lambda: ended.append(process.exit_code))
    assert process.pid in watched_pids()
    assert await exited(process) == 3
    assert ended == [3]
    assert process.pid not in watched_pids()
    # Its pid may belong to another process by now.
    process.send_signal(signal.SIGKILL)


@pytest.mark.asyncio
async def test_a_signal_is_a_negative_exit_code() -> None:
    process = ChildProcess(spawn("import time; time.sleep(3600)"))
    process.send_signal(signal.SIGKILL)
    assert await exited(process) == -signal.SIGKILL


@pytest.mark.asyncio
async def test_a_released_process_is_neither_watched_nor_reaped() -> None:
    pid = spawn("import time; time.sleep(3600)")
    process = ChildProcess(pid)
    process.release()
    process.release()
    assert pid not in watched_pids()
    assert await exited_elsewhere(pid) == -signal.SIGKILL
    assert not process.exited.is_set()


async def exited_elsewhere(pid: int) -> int | None:
    other = ChildProcess(pid)
    other.send_signal(signal.SIGKILL)
    return await exited(other)


@pytest.mark.asyncio
async def test_an_agent_process_is_alive_until_its_end_of_the_link_is_closed() -> None:
    ours, theirs = socket.socketpair()
    stacks = StackFile.create()
    with ours:
        process = StartedProcess(spawn("import time; time.sleep(3600)"), ours, stacks)
        assert process.is_alive()
        theirs.sendall(b"message")
        assert process.is_alive(), "an unread message is no end"
        assert ours.recv(16) == b"message"
        theirs.close()
        assert not process.is_alive()
        process.send_signal(signal.SIGKILL)
        await exited(process)
        assert (process.is_alive(), process.stacks) == (False, None)

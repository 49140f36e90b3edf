"""Stack dump of a process whose loop is blocked, read after its death."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

from control.child.stack_dump import MAX_STACK_BYTES, StackFile
from tests.deadlines import DEADLINE_S
from tests.processes.conftest import ROOT

_BLOCKED = """
import asyncio, os, sys, time
from control.child.stack_dump import StackFile

def block():
    print("blocked", flush=True)
    time.sleep(3600)

async def wait_for_ever():
    await asyncio.Event().wait()

async def main():
    StackFile(int(sys.argv[1])).dump_on_signal(asyncio.get_running_loop())
    waiting = asyncio.get_running_loop().create_task(wait_for_ever(), name="waiter")
    await asyncio.sleep(0)
    secret = "a value that no dump may hold"
    block()

asyncio.run(main())
"""


def test_threads_and_tasks_of_a_blocked_loop_outlive_the_process() -> None:
    stacks = StackFile.create()
    assert stacks.read() is None
    fd = stacks.fileno()
    with subprocess.Popen(
        [sys.executable, "-c", _BLOCKED, str(fd)],
        stdout=subprocess.PIPE,
        pass_fds=[fd],
        cwd=ROOT,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "blocked\n"
        process.send_signal(signal.SIGUSR1)
        deadline_s = time.monotonic() + DEADLINE_S
        while "waiter" not in (stacks.read() or "") and time.monotonic() < deadline_s:
            time.sleep(0.01)
        process.kill()
        process.wait(DEADLINE_S)
    text = stacks.read()
    stacks.close()
    assert text is not None
    threads, _, tasks = text.partition("Task ")
    assert "in block" in threads
    assert "waiter" in tasks
    assert "in wait_for_ever" in tasks
    assert "a value that no dump may hold" not in text


def test_a_dump_is_bounded() -> None:
    stacks = StackFile.create()
    with open(stacks.fileno(), "wb", closefd=False) as file:
        file.write(b"x" * (MAX_STACK_BYTES + 1))
    text = stacks.read()
    stacks.close()
    assert text is not None
    assert len(text) == MAX_STACK_BYTES

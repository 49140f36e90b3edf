"""Orphans of a child, adopted by this process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from control.machine.prctl import adopt_orphans
from control.supervisor import orphans
from control.supervisor.orphans import MAX_CHECKS, Orphans
from tests.processes.conftest import is_gone, until

_LEAVES_ONE_BEHIND = """
import subprocess, sys
left = subprocess.Popen([sys.executable, "-c", sys.argv[1]])
print(left.pid, flush=True)
"""


@pytest.fixture
def adopting() -> Iterator[None]:
    adopt_orphans()
    yield
    adopt_orphans(is_enabled=False)


@pytest.fixture
def owned() -> Iterator[subprocess.Popen[bytes]]:
    """A child that is reaped by its owner."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process


def leave_behind(code: str) -> int:
    """The pid of a process whose parent has ended."""
    command = [sys.executable, "-c", _LEAVES_ONE_BEHIND, code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        return int(parent.stdout.readline())


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "code",
    [
        "import time; time.sleep(3600)",
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(3600)",
        "while True: pass",
        "pass",
    ],
)
async def test_an_orphan_is_killed_after_several_checks(
    adopting: None, owned: subprocess.Popen[bytes], code: str
) -> None:
    known = orphans._children()
    pid = leave_behind(code)
    await until(lambda: pid in orphans._children())
    checker = Orphans(lambda: known)
    for _ in range(MAX_CHECKS - 1):
        checker.check()
        assert not is_gone(pid), "it may be one that starts"

    def is_ended() -> bool:
        checker.check()
        return is_gone(pid)

    await until(is_ended)
    assert owned.poll() is None


@pytest.mark.asyncio
async def test_a_stopped_orphan_is_killed_too(adopting: None) -> None:
    known = orphans._children()
    pid = leave_behind("import time; time.sleep(3600)")
    os.kill(pid, signal.SIGSTOP)
    await until(lambda: pid in orphans._children())
    checker = Orphans(lambda: known)

    def is_ended() -> bool:
        checker.check()
        return is_gone(pid)

    await until(is_ended)

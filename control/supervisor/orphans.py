"""`Orphans`: kill processes that an agent process started and left behind.

The server adopts them (`prctl.adopt_orphans`), so they are its children.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import Callable, Set
from pathlib import Path
from typing import Final

from utils import OwnedTasks

CHECK_INTERVAL_S: Final = 1.0
MAX_CHECKS: Final = 4
"""Checks after which an orphan is killed: before that it may be exiting, or be a process that starts."""

_log = logging.getLogger("control.orphans")


class Orphans:
    """Check the children of the main thread, to which the kernel gives all adopted processes."""

    def __init__(self, owned: Callable[[], Set[int]]) -> None:
        """owned: returns the pids of children that the server itself started."""
        self._owned = owned
        # Number of checks in which each orphan was found, by pid.
        self._seen: dict[int, int] = {}
        self._tasks = OwnedTasks(_log)

    def start(self) -> None:
        """Check periodically, in the background."""
        self._tasks.start(self._run(), name="orphans")

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(CHECK_INTERVAL_S)
            self.check()

    def check(self) -> None:
        """Kill the orphans that were found `MAX_CHECKS` times."""
        unowned = _children() - self._owned()
        self._seen = {pid: self._seen.get(pid, 0) + 1 for pid in unowned}
        for pid, count in self._seen.items():
            if count >= MAX_CHECKS:
                _kill(pid, is_first=count == MAX_CHECKS)

    async def close(self) -> None:
        """Stop checking. Idempotent."""
        await self._tasks.close()


def _children() -> set[int]:
    try:
        text = Path(f"/proc/self/task/{os.getpid()}/children").read_text()
    except OSError:
        # A kernel without CONFIG_PROC_CHILDREN: orphans live until the server ends.
        return set()
    return {int(pid) for pid in text.split()}


def _kill(pid: int, *, is_first: bool) -> None:
    # Until it is reaped, which only happens here, its pid cannot be reused.
    with contextlib.suppress(ChildProcessError):
        if os.waitpid(pid, os.WNOHANG)[0] == 0:
            if is_first:
                _log.warning("process %d was left behind by an agent process: killing it", pid)
            os.kill(pid, signal.SIGKILL)

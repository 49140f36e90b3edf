"""Ends processes that nobody owns: whatever an agent's process has started and left behind.

The server adopts them (`leash.adopt_orphans`), so they cannot get lost.
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

LOOK_INTERVAL_S: Final = 1.0
MAX_LOOKS: Final = 4
"""So often one is seen before it is ended: it may be ending, or be a process that starts."""

_log = logging.getLogger("control.orphans")


class Orphans:
    """Looks at the children of the main thread, to whom the kernel gives all that are adopted."""

    def __init__(self, owned: Callable[[], Set[int]]) -> None:
        """owned: pids of children that somebody here waits for"""
        self._owned = owned
        # How often each of the others was seen.
        self._seen: dict[int, int] = {}
        self._tasks = OwnedTasks(_log)

    def start(self) -> None:
        """Look from now on, in the background."""
        self._tasks.start(self._keep_looking(), name="orphans")

    async def _keep_looking(self) -> None:
        while True:
            await asyncio.sleep(LOOK_INTERVAL_S)
            self.look()

    def look(self) -> None:
        """End those that are there for too long."""
        strangers = _children() - self._owned()
        self._seen = {pid: self._seen.get(pid, 0) + 1 for pid in strangers}
        for pid, times in self._seen.items():
            if times >= MAX_LOOKS:
                _end(pid, is_first=times == MAX_LOOKS)

    async def close(self) -> None:
        """Look no more. Idempotent."""
        await self._tasks.close()


def _children() -> set[int]:
    try:
        text = Path(f"/proc/self/task/{os.getpid()}/children").read_text()
    except OSError:
        # A kernel without them: then they stay until the server ends.
        return set()
    return {int(pid) for pid in text.split()}


def _end(pid: int, *, is_first: bool) -> None:
    # A child's number is no other process's until it is reaped, which is done here only.
    with contextlib.suppress(ChildProcessError):
        if os.waitpid(pid, os.WNOHANG)[0] == 0:
            if is_first:
                _log.warning("process %d was left behind by an agent: it is ended", pid)
            os.kill(pid, signal.SIGKILL)

"""`StackFile`: stack dump of an agent process on SIGUSR1, readable after the process's death.

The server creates the file in memory and passes its descriptor to the process. A dump holds lines of
code, never values.
"""

from __future__ import annotations

import asyncio
import faulthandler
import os
import signal
import traceback
from collections.abc import Iterator
from types import FrameType
from typing import Any, Final

MAX_STACK_BYTES: Final = 32 * 1024


class StackFile:
    """Anonymous file (memfd); a copy of its descriptor goes to the process that writes to it."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    @classmethod
    def create(cls) -> StackFile:
        """Create an empty file.

        Raises:
            OSError: no descriptor or memory is left.
        """
        return cls(os.memfd_create("stacks"))

    def fileno(self) -> int:
        """Return its descriptor."""
        return self._fd

    def dump_on_signal(self, loop: asyncio.AbstractEventLoop) -> None:
        """Make SIGUSR1 write the stacks of all threads, even if the loop is blocked; then, as soon as
        the main thread runs any Python code, those of the loop's tasks.
        """
        # Not `loop.add_signal_handler`: its handlers wait for the loop.
        signal.signal(signal.SIGUSR1, lambda *_: self._dump_tasks(loop))
        faulthandler.register(signal.SIGUSR1, file=self._fd, all_threads=True, chain=True)

    def _dump_tasks(self, loop: asyncio.AbstractEventLoop) -> None:
        lines: list[str] = []
        for task in asyncio.all_tasks(loop):
            lines.append(f"Task {task.get_name()}:\n")
            for frame in _frames(task.get_coro()):
                lines += traceback.format_stack(frame, limit=1)
        os.write(self._fd, "".join(lines).encode())

    def read(self) -> str | None:
        """Return the first `MAX_STACK_BYTES` of the dump; None if nothing was written."""
        return os.pread(self._fd, MAX_STACK_BYTES, 0).decode(errors="replace") or None

    def close(self) -> None:
        """Close the descriptor; call it once."""
        os.close(self._fd)


def _frames(awaited: Any) -> Iterator[FrameType]:
    """Yield the frames of a task's chain of awaits, outermost first; `Task.get_stack` has only one."""
    while (frame := getattr(awaited, "cr_frame", None)) is not None:
        yield frame
        awaited = awaited.cr_await

"""The stacks of a process in trouble: written by itself on SIGUSR1, kept where its death cannot reach.

The supervisor makes the file in memory and hands it to the process, so that what was written is
still there when the process is not. Stacks are lines of code, never values.
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
    """A nameless file; a copy of its descriptor goes to the process that writes to it."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    @classmethod
    def create(cls) -> StackFile:
        """An empty one.

        Raises:
            OSError: no descriptor or memory is left.
        """
        return cls(os.memfd_create("stacks"))

    def fileno(self) -> int:
        """Its descriptor."""
        return self._fd

    def dump_on_signal(self, loop: asyncio.AbstractEventLoop) -> None:
        """Have SIGUSR1 write every thread's stack, however stuck the loop is; then, as soon as the
        main thread runs any Python at all, those of the loop's tasks.
        """
        # Not the loop's own handler: that would wait for the loop.
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
        """What was written, as far as it is of use; None when nothing was."""
        return os.pread(self._fd, MAX_STACK_BYTES, 0).decode(errors="replace") or None

    def close(self) -> None:
        """Free it; call it once."""
        os.close(self._fd)


def _frames(awaited: Any) -> Iterator[FrameType]:
    """From the task's own coroutine to what it waits for; `Task.get_stack` stops at the first."""
    while (frame := getattr(awaited, "cr_frame", None)) is not None:
        yield frame
        awaited = awaited.cr_await

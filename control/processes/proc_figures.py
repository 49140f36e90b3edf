"""What the kernel says of other processes, read in one thread so that nothing waits for it.

Read from outside, so that it costs the processes nothing and is known of hung ones too. What is a
process's own memory costs the kernel a walk through all its pages, milliseconds each; how much it has
in all is a number that is there. So the walk is taken now and then, and at once when there is
suddenly more.
"""

from __future__ import annotations

import asyncio
import os
import resource
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Final

from control.processes.watch import ProcessFigures

SUDDEN_BYTES: Final = 16 * 1024 * 1024
"""So much more than before has all of it read again."""

_PROC: Final = Path("/proc")
_PAGE_BYTES: Final = resource.getpagesize()


def read_figures(pid: int, known: ProcessFigures | None = None) -> ProcessFigures | None:
    """None when the process is gone, or the kernel does not tell.

    known: of its memory this is repeated, unless there is suddenly more
    """
    folder = _PROC / str(pid)
    try:
        descriptors = len(os.listdir(folder / "fd"))
        anonymous_bytes = _read_anonymous_bytes(folder / "statm")
        if known is not None and anonymous_bytes < known.anonymous_bytes + SUDDEN_BYTES:
            return replace(known, descriptors=descriptors)
        sizes = _read_sizes(folder / "smaps_rollup")
        limit, _ = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    except (OSError, ValueError):
        return None
    return ProcessFigures(
        private_bytes=sizes.get("Private_Clean", 0) + sizes.get("Private_Dirty", 0),
        pss_bytes=sizes.get("Pss", 0),
        descriptors=descriptors,
        max_descriptors=max(limit, 1),
        anonymous_bytes=anonymous_bytes,
    )


def _read_anonymous_bytes(path: Path) -> int:
    _, resident, of_files, *_ = path.read_text().split()
    return (int(resident) - int(of_files)) * _PAGE_BYTES


def _read_sizes(path: Path) -> dict[str, int]:
    sizes = {}
    for line in path.read_text().splitlines()[1:]:
        name, _, value = line.partition(":")
        sizes[name] = int(value.split()[0]) * 1024
    return sizes


class FigureReader:
    """The thread; one for all processes."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="figures")

    async def read(self, pid: int, known: ProcessFigures | None = None) -> ProcessFigures | None:
        """See `read_figures`."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, read_figures, pid, known)

    def close(self) -> None:
        """Free the thread. Idempotent."""
        self._thread.shutdown(wait=False)

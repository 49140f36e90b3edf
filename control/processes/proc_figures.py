"""What the kernel says of other processes, read in one thread so that nothing waits for it.

Read from outside, so that it costs the processes nothing and is known of hung ones too.
"""

from __future__ import annotations

import asyncio
import resource
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from control.processes.watch import ProcessFigures

_PROC: Final = Path("/proc")


def read_figures(pid: int) -> ProcessFigures | None:
    """None when the process is gone, or the kernel does not tell."""
    folder = _PROC / str(pid)
    try:
        sizes = _read_sizes(folder / "smaps_rollup")
        descriptors = sum(1 for _ in (folder / "fd").iterdir())
    except (OSError, ValueError):
        return None
    private_bytes = sizes.get("Private_Clean", 0) + sizes.get("Private_Dirty", 0)
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)  # children inherit ours
    return ProcessFigures(private_bytes, sizes.get("Pss", 0), descriptors, max(limit, 1))


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

    async def read(self, pid: int) -> ProcessFigures | None:
        """See `read_figures`."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, read_figures, pid)

    def close(self) -> None:
        """Free the thread. Idempotent."""
        self._thread.shutdown(wait=False)

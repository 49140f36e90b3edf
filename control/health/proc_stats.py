"""Kernel statistics of other processes, read from /proc in a thread so that the loop never waits.

Read from outside, so that they cost the processes nothing and exist for hung ones too. For the
private memory of a process (`smaps_rollup`) the kernel walks all its pages, milliseconds each; its
anonymous memory (`statm`) is a counter. So the walk is made now and then, and at once when the
counter has grown by `SUDDEN_BYTES`.
"""

from __future__ import annotations

import asyncio
import os
import resource
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Final

from control.health.rules import ProcStats

SUDDEN_BYTES: Final = 16 * 1024 * 1024
"""Growth of anonymous memory after which everything is read again."""

_PROC: Final = Path("/proc")
_PAGE_BYTES: Final = resource.getpagesize()
_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")


def read_proc_stats(pid: int, known: ProcStats | None = None) -> ProcStats | None:
    """Return the statistics of a process; None if it is gone or they are not readable.

    known: earlier statistics, whose memory figures are reused unless there is suddenly more.
    """
    folder = _PROC / str(pid)
    try:
        descriptors = len(os.listdir(folder / "fd"))
        cpu_s = _read_cpu_s(folder / "stat")
        anonymous_bytes = _read_anonymous_bytes(folder / "statm")
        if known is not None and anonymous_bytes < known.anonymous_bytes + SUDDEN_BYTES:
            return replace(known, descriptors=descriptors, cpu_s=cpu_s)
        sizes = _read_sizes(folder / "smaps_rollup")
        limit, _ = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    except (OSError, ValueError):
        return None
    return ProcStats(
        private_bytes=sizes.get("Private_Clean", 0) + sizes.get("Private_Dirty", 0),
        pss_bytes=sizes.get("Pss", 0),
        descriptors=descriptors,
        max_descriptors=max(limit, 1),
        anonymous_bytes=anonymous_bytes,
        cpu_s=cpu_s,
    )


def _read_cpu_s(path: Path) -> float:
    # The name in parentheses may contain anything; user and system time are the 14th and 15th field.
    fields = path.read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


def _read_anonymous_bytes(path: Path) -> int:
    _, resident, of_files, *_ = path.read_text().split()
    return (int(resident) - int(of_files)) * _PAGE_BYTES


def _read_sizes(path: Path) -> dict[str, int]:
    sizes = {}
    # The first line names the mapping, the others are `Name:   123 kB`.
    for line in path.read_text().splitlines()[1:]:
        name, _, value = line.partition(":")
        sizes[name] = int(value.split()[0]) * 1024
    return sizes


class ProcStatsReader:
    """Thread that reads the statistics of all processes."""

    def __init__(self) -> None:
        # One thread: readings are short, and more would compete for the processors.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="proc-stats")

    async def read(self, pid: int, known: ProcStats | None = None) -> ProcStats | None:
        """See `read_proc_stats`."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, read_proc_stats, pid, known)

    def close(self) -> None:
        """Free the thread. Idempotent."""
        self._thread.shutdown(wait=False)

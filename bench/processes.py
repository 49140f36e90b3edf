"""Processor time and memory of a process, read from /proc."""

from __future__ import annotations

import contextlib
import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def cpu_s(pid: int) -> float:
    """User and system time spent so far, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


class TreeCpu:
    """Processor time that a process and all its descendants spend from now on.

    Read from the scheduler to the nanosecond, thread by thread. Time of a thread that ends before
    `spent_s` is called is not counted.
    """

    def __init__(self, root_pid: int) -> None:
        self._root_pid = root_pid
        self._began = dict(_thread_times(root_pid))

    def spent_s(self) -> float:
        """Processor seconds since this object was made."""
        now = dict(_thread_times(self._root_pid))
        return sum(spent - self._began.get(thread, 0) for thread, spent in now.items()) / 1e9


def _thread_times(root_pid: int) -> Iterator[tuple[int, int]]:
    """Thread ids of a process tree, each with its processor time in nanoseconds."""
    for pid in _tree(root_pid):
        for thread in Path(f"/proc/{pid}/task").glob("*"):
            try:
                times = (thread / "schedstat").read_text().split()
            except (FileNotFoundError, ProcessLookupError):
                continue  # It ended meanwhile.
            yield int(thread.name), int(times[0])


def _tree(root_pid: int) -> list[int]:
    """A process and its descendants."""
    children: dict[int, list[int]] = defaultdict(list)
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            fields = (directory / "stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        children[int(fields[1])].append(int(directory.name))
    tree = [root_pid]
    for pid in tree:
        tree += children[pid]
    return tree


def memory_mb(pid: int) -> tuple[float, float]:
    """(private, proportional) memory in MB (10^6 bytes)."""
    totals = dict.fromkeys(("Private_Clean", "Private_Dirty", "Pss"), 0)
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, _, value = line.partition(":")
        if name in totals:
            totals[name] = int(value.split()[0])
    private_kb = totals["Private_Clean"] + totals["Private_Dirty"]
    return private_kb * 1.024 / 1000, totals["Pss"] * 1.024 / 1000


def tree_memory_mb(root_pid: int) -> float:
    """Proportional memory of a process and all its descendants, in MB."""
    total_mb = 0.0
    for pid in _tree(root_pid):
        # A process that ends meanwhile has none.
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            total_mb += memory_mb(pid)[1]
    return total_mb

"""What a process costs, read from /proc."""

from __future__ import annotations

import os
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def cpu_s(pid: int) -> float:
    """User and system time spent so far, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


def memory_mb(pid: int) -> tuple[float, float]:
    """(private, proportional) memory in MB (10^6 bytes)."""
    totals = dict.fromkeys(("Private_Clean", "Private_Dirty", "Pss"), 0)
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, _, value = line.partition(":")
        if name in totals:
            totals[name] = int(value.split()[0])
    private_kb = totals["Private_Clean"] + totals["Private_Dirty"]
    return private_kb * 1.024 / 1000, totals["Pss"] * 1.024 / 1000

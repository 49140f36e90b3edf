"""How busy the processors are that we may use: the machine's, or our control group's share of them."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from control.machine.cgroups import CGROUPS, PROC, own_groups, read_number, read_statistic

SMOOTHING_S: Final = 4.0
"""After a change of load the average has come to two thirds of it."""

_NS_PER_S: Final = 1e9
_US_PER_S: Final = 1e6
_IDLE, _IOWAIT = 3, 4


@dataclass(frozen=True)
class CpuCounter:
    """Processor seconds that were used so far, of those that there are each second."""

    key: str
    used_s: float
    cores: float


def read_cpu(
    proc: Path = PROC, cgroups: Path = CGROUPS, cpus: Set[int] | None = None
) -> list[CpuCounter]:
    """The machine's counter, and one of each control group of ours that has a quota.

    cpus: those that we may run on; None: as the kernel says
    """
    counters = [_read_machine(proc, os.sched_getaffinity(0) if cpus is None else cpus)]
    for group in own_groups("cpu", proc, cgroups):
        counter = _read_v2(group) or _read_v1(group)
        if counter is not None:
            counters.append(counter)
    return counters


def _read_machine(proc: Path, cpus: Set[int]) -> CpuCounter:
    names = {f"cpu{number}" for number in cpus}
    lines = [line.split() for line in (proc / "stat").read_text().splitlines()]
    busy = sum(_busy(line) for line in lines if line[0] in names)
    return CpuCounter("machine", busy / os.sysconf("SC_CLK_TCK"), max(len(cpus), 1))


def _busy(line: Sequence[str]) -> int:
    ticks = [int(value) for value in line[1:9]]
    return sum(ticks) - ticks[_IDLE] - ticks[_IOWAIT]


def _read_v2(group: Path) -> CpuCounter | None:
    try:
        quota, period = (group / "cpu.max").read_text().split()
    except (OSError, ValueError):
        return None
    if not quota.isdecimal():
        return None
    used_s = read_statistic(group / "cpu.stat", "usage_usec") / _US_PER_S
    return CpuCounter(str(group), used_s, int(quota) / int(period))


def _read_v1(group: Path) -> CpuCounter | None:
    quota, period = (
        read_number(group / "cpu.cfs_quota_us"),
        read_number(group / "cpu.cfs_period_us"),
    )
    used_ns = read_number(group / "cpuacct.usage")
    if quota is None or quota <= 0 or not period or used_ns is None:
        return None
    return CpuCounter(str(group), used_ns / _NS_PER_S, quota / period)


class CpuMeter:
    """The busiest of some counters, averaged; time is an argument (monotonic)."""

    def __init__(self) -> None:
        # In use, from 0 to 1, and of how many cores.
        self.share = 0.0
        self.cores = float(os.cpu_count() or 1)
        self._last: dict[str, CpuCounter] = {}
        self._at_s: float | None = None

    def update(self, counters: Sequence[CpuCounter], *, now_s: float) -> None:
        """Take a reading."""
        passed_s = 0.0 if self._at_s is None else now_s - self._at_s
        if passed_s > 0:
            shares = [(self._share(one, passed_s), one.cores) for one in counters]
            share, self.cores = max(shares, default=(0.0, self.cores))
            weight = 1 - math.exp(-passed_s / SMOOTHING_S)
            self.share += weight * (share - self.share)
        self._at_s = now_s
        self._last = {one.key: one for one in counters}

    def _share(self, counter: CpuCounter, passed_s: float) -> float:
        last = self._last.get(counter.key, counter)
        return min(1.0, max(0.0, counter.used_s - last.used_s) / passed_s / counter.cores)

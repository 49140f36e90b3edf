"""`CpuMeter`: load of the processors that this process may use, by machine and control group."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from control.admission.policy import AGENT_CORES
from control.machine.cgroups import CGROUPS, PROC, own_groups, read_number, read_statistic

SMOOTHING_S: Final = 4.0
"""Time constant: after it the average has covered 63 % of a change of load."""

LEARNING_S: Final = 300.0
"""Time constant of the estimate of an agent's usage: longer than most silences in a call."""

_ESTIMATE_FACTOR: Final = 4
_NS_PER_S: Final = 1e9
_US_PER_S: Final = 1e6
# Columns of /proc/stat that do not count as busy.
_NICE, _IDLE, _IOWAIT = 1, 3, 4


@dataclass(frozen=True)
class CpuCounter:
    """Processor seconds used so far. cores: processor seconds available per second."""

    key: str
    used_s: float
    cores: float


def read_cpu(
    proc: Path = PROC, cgroups: Path = CGROUPS, cpus: Set[int] | None = None
) -> list[CpuCounter]:
    """Return the machine's counter and one per control group with a quota.

    cpus: processors that this process may run on; None: its scheduling affinity.
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
    # Processes of low priority (nice) yield to agents.
    return sum(ticks) - ticks[_NICE] - ticks[_IDLE] - ticks[_IOWAIT]


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
    """Average load of the tightest counter; time is an argument (monotonic)."""

    def __init__(self) -> None:
        # Averaged load from 0 to 1 of the counter with the fewest idle cores, and its cores.
        self.share = 0.0
        self.cores = float(os.cpu_count() or 1)
        self._shares: dict[str, float] = {}
        # Previous reading of each counter, by key.
        self._last: dict[str, CpuCounter] = {}
        self._at_s: float | None = None

    def update(self, counters: Sequence[CpuCounter], *, now_s: float) -> None:
        """Take a reading of all counters."""
        passed_s = 0.0 if self._at_s is None else now_s - self._at_s
        weight = _weight(passed_s, SMOOTHING_S)
        shares = {}
        for one in counters:
            share = shares[one.key] = self._shares.get(one.key, 0.0)
            if passed_s > 0:
                shares[one.key] += weight * (self._share(one, passed_s) - share)
        if counters:
            tightest = min(counters, key=lambda one: (1 - shares[one.key]) * one.cores)
            self.share, self.cores = shares[tightest.key], tightest.cores
        self._at_s = now_s
        self._shares = shares
        self._last = {one.key: one for one in counters}

    def _share(self, counter: CpuCounter, passed_s: float) -> float:
        last = self._last.get(counter.key, counter)
        return min(1.0, max(0.0, counter.used_s - last.used_s) / passed_s / counter.cores)


class AgentsMeter:
    """Average processor usage of all agents, and long-term usage of one; time is an argument."""

    def __init__(self) -> None:
        self.cores = 0.0
        self.cores_each = AGENT_CORES
        self._last: dict[int, float] = {}
        self._at_s: float | None = None

    def update(self, used_s: Mapping[int, float], *, now_s: float) -> None:
        """Take a reading: processor seconds used so far, by process."""
        passed_s = 0.0 if self._at_s is None else now_s - self._at_s
        if passed_s > 0:
            known = used_s.keys() & self._last.keys()
            spent_s = sum(max(0.0, used_s[pid] - self._last[pid]) for pid in known)
            self.cores += _weight(passed_s, SMOOTHING_S) * (spent_s / passed_s - self.cores)
            if known:
                self._learn(spent_s / passed_s / len(known), passed_s)
        self._at_s = now_s
        self._last = dict(used_s)

    def _learn(self, cores: float, passed_s: float) -> None:
        """Update the estimate, within bounds: an unusual load of all agents must not distort it."""
        estimate = self.cores_each + _weight(passed_s, LEARNING_S) * (cores - self.cores_each)
        self.cores_each = min(
            max(estimate, AGENT_CORES / _ESTIMATE_FACTOR), AGENT_CORES * _ESTIMATE_FACTOR
        )


def _weight(passed_s: float, time_constant_s: float) -> float:
    """Return how much a reading of the last `passed_s` counts in an exponential average."""
    return 1 - math.exp(-passed_s / time_constant_s)

"""Memory of this machine, or of this process's control groups if their limits are lower."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from control.machine.cgroups import CGROUPS, PROC, own_groups, read_number, read_statistic


@dataclass(frozen=True)
class Memory:
    """Memory in bytes. available: usable before the kernel has to kill a process."""

    total_bytes: int
    available_bytes: int

    @property
    def available_share(self) -> float:
        """Available share, from 0 to 1."""
        return self.available_bytes / self.total_bytes if self.total_bytes else 1.0


def read_memory(proc: Path = PROC, cgroups: Path = CGROUPS) -> Memory:
    """Return the present memory by the tightest limit."""
    machine = _parse_meminfo(proc / "meminfo")
    groups = [_read_group(group) for group in own_groups("memory", proc, cgroups)]
    limits = [machine, *(group for group in groups if group is not None)]
    return Memory(
        min(limit.total_bytes for limit in limits),
        min(limit.available_bytes for limit in limits),
    )


def _parse_meminfo(path: Path) -> Memory:
    values = {}
    for line in path.read_text().splitlines():
        name, _, value = line.partition(":")
        values[name] = int(value.split()[0]) * 1024
    return Memory(values["MemTotal"], values["MemAvailable"])


def _read_group(group: Path) -> Memory | None:
    """Return the group's memory; None without a limit or without readable figures."""
    for limit_name, usage_name, cache_name in (
        ("memory.max", "memory.current", "inactive_file"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ):
        limit, usage = read_number(group / limit_name), read_number(group / usage_name)
        if limit is not None and usage is not None:
            # The kernel can drop inactive page cache at once: it counts as free.
            used = usage - read_statistic(group / "memory.stat", cache_name)
            return Memory(limit, max(0, limit - used))
    return None

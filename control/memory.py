"""How much memory there is: of this machine, or of the control group that holds us if that is less."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_PROC: Final = Path("/proc")
_CGROUPS: Final = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Memory:
    """Both in bytes. available: what may still be used before something is killed."""

    total_bytes: int
    available_bytes: int

    @property
    def available_share(self) -> float:
        """From 0 to 1."""
        return self.available_bytes / self.total_bytes if self.total_bytes else 1.0


def read_memory(proc: Path = _PROC, cgroups: Path = _CGROUPS) -> Memory:
    """As it is now, by whichever limit is the tightest."""
    machine = _parse_meminfo(proc / "meminfo")
    groups = [_read_group(group) for group in _groups(proc / "self" / "cgroup", cgroups)]
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


def _groups(own: Path, cgroups: Path) -> list[Path]:
    """Our memory group with all that hold it: v2 (`0::/a/b`) or v1 (`4:memory:/a/b`)."""
    found: list[Path] = []
    with contextlib.suppress(OSError):
        for line in own.read_text().splitlines():
            _, controllers, name = line.split(":", 2)
            if controllers == "":
                root = cgroups
            elif "memory" in controllers.split(","):
                root = cgroups / "memory"
            else:
                continue
            # In a container the path may be the host's; then only the root is there.
            parts = Path(name.lstrip("/"))
            found += [root / parts, *(root / part for part in parts.parents)]
    return found


def _read_group(group: Path) -> Memory | None:
    """None where the group has no limit or tells nothing."""
    for limit_name, usage_name, cache_name in (
        ("memory.max", "memory.current", "inactive_file"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ):
        limit, usage = _number(group / limit_name), _number(group / usage_name)
        if limit is not None and usage is not None:
            # What the kernel can drop at once is as good as free.
            used = usage - _statistic(group / "memory.stat", cache_name)
            return Memory(limit, max(0, limit - used))
    return None


def _number(path: Path) -> int | None:
    with contextlib.suppress(OSError, ValueError):
        return int(path.read_text())  # `max` is no number, and no limit
    return None


def _statistic(path: Path, name: str) -> int:
    with contextlib.suppress(OSError, ValueError):
        for line in path.read_text().splitlines():
            key, _, value = line.partition(" ")
            if key == name:
                return int(value)
    return 0

"""Counts and limits of the kernel: tasks (processes and threads) and descriptors."""

from __future__ import annotations

import contextlib
import os
import resource
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from control.machine.cgroups import CGROUPS, PROC, own_groups, read_number

USER_COUNT_MARGIN: Final = 256
"""Distance from RLIMIT_NPROC within which the user's own tasks are counted, which is slow."""

# Capabilities that exempt a process from RLIMIT_NPROC (linux/capability.h).
_CAP_SYS_ADMIN: Final = 21
_CAP_SYS_RESOURCE: Final = 24


@dataclass(frozen=True)
class Count:
    """Usage of a kernel limit. name: of the limit, as in the kernel's documentation."""

    name: str
    used: int
    limit: int

    @property
    def left(self) -> int:
        """Number of further ones that the limit allows."""
        return self.limit - self.used


def read_tasks(proc: Path = PROC, cgroups: Path = CGROUPS) -> Count | None:
    """Return the count of tasks by the limit that leaves the fewest; None if none is readable."""
    counts = [*_read_machine(proc), *_read_groups(proc, cgroups)]
    machine = _read_all_tasks(proc)
    if (of_user := _read_user(proc, machine)) is not None:
        counts.append(of_user)
    return min(counts, key=lambda one: one.left, default=None)


def _read_all_tasks(proc: Path) -> int | None:
    """Return the tasks of the whole machine: 345 in `0.5 0.4 0.3 2/345 6789`."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        return int((proc / "loadavg").read_text().split()[3].split("/")[1])
    return None


def _read_machine(proc: Path) -> Iterator[Count]:
    used = _read_all_tasks(proc)
    for name in ("threads-max", "pid_max"):
        limit = read_number(proc / "sys/kernel" / name)
        if used is not None and limit is not None:
            yield Count(f"kernel.{name}", used, limit)


def _read_groups(proc: Path, cgroups: Path) -> Iterator[Count]:
    for group in own_groups("pids", proc, cgroups):
        used, limit = read_number(group / "pids.current"), read_number(group / "pids.max")
        if used is not None and limit is not None:
            yield Count("pids.max", used, limit)


def _read_user(proc: Path, machine: int | None) -> Count | None:
    limit, _ = resource.getrlimit(resource.RLIMIT_NPROC)
    if limit == resource.RLIM_INFINITY or _is_exempt(proc):
        return None
    # The machine's count is an upper bound of the user's, and cheap: mostly it suffices.
    used = (
        machine if machine is not None and limit - machine > USER_COUNT_MARGIN else _count_own(proc)
    )
    return Count("RLIMIT_NPROC", used, limit)


def _is_exempt(proc: Path) -> bool:
    """Return true if RLIMIT_NPROC does not apply to this process."""
    if os.getuid() == 0:
        return True
    with contextlib.suppress(OSError, ValueError, KeyError):
        rights = int(_read_status(proc / "self/status")["CapEff"], 16)
        return bool(rights & (1 << _CAP_SYS_ADMIN | 1 << _CAP_SYS_RESOURCE))
    return False


def _count_own(proc: Path) -> int:
    own, count = str(os.getuid()), 0
    for entry in proc.iterdir():
        if entry.name.isdecimal():
            # A process may exit meanwhile.
            with contextlib.suppress(OSError, ValueError, KeyError):
                status = _read_status(entry / "status")
                if status["Uid"].split()[0] == own:
                    count += int(status["Threads"])
    return count


def _read_status(path: Path) -> dict[str, str]:
    lines = (line.partition(":") for line in path.read_text().splitlines())
    return {name: value.strip() for name, _, value in lines}


def read_descriptors() -> Count:
    """Return the count of this process's descriptors."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        # Minus the one of the listing itself.
        used = len(os.listdir("/proc/self/fd")) - 1
    except OSError:
        # Listing needs a descriptor: none is left.
        used = limit
    return Count("RLIMIT_NOFILE", used, limit)


def raise_descriptor_limit(needed: int) -> int:
    """Raise the soft limit to `needed` or as far as allowed; return the limit. Never lower it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(needed, hard) if hard != resource.RLIM_INFINITY else needed
    # Never lowered.
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return soft if soft != resource.RLIM_INFINITY else needed
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]

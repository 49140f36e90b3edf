"""Control groups (v1 and v2) of this process, whose limits apply to it."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Final

PROC: Final = Path("/proc")
CGROUPS: Final = Path("/sys/fs/cgroup")


def own_groups(controller: str, proc: Path = PROC, cgroups: Path = CGROUPS) -> list[Path]:
    """Return this process's group of `controller` and its parents: v2 (`0::/a/b`) or v1
    (`4:memory:/a/b`).
    """
    found: list[Path] = []
    with contextlib.suppress(OSError):
        for line in (proc / "self" / "cgroup").read_text().splitlines():
            _, controllers, name = line.split(":", 2)
            if controllers == "":
                root = cgroups
            elif controller in controllers.split(","):
                root = cgroups / controller
            else:
                continue
            # In a container the path may be the host's; then only the root exists here.
            parts = Path(name.lstrip("/"))
            found += [root / parts, *(root / part for part in parts.parents)]
    return found


def read_number(path: Path) -> int | None:
    """Return the number in a file; None without one (`max`, for no limit, is none)."""
    with contextlib.suppress(OSError, ValueError):
        return int(path.read_text())
    return None


def read_statistic(path: Path, name: str) -> int:
    """Return one value of a file of `name value` lines; 0 without one."""
    with contextlib.suppress(OSError, ValueError):
        for line in path.read_text().splitlines():
            key, _, value = line.partition(" ")
            if key == name:
                return int(value)
    return 0

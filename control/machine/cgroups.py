"""Which control groups hold this process: their limits are ours, whatever the machine has."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Final

PROC: Final = Path("/proc")
CGROUPS: Final = Path("/sys/fs/cgroup")


def own_groups(controller: str, proc: Path = PROC, cgroups: Path = CGROUPS) -> list[Path]:
    """Our group of `controller` with all that hold it: v2 (`0::/a/b`) or v1 (`4:memory:/a/b`)."""
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
            # In a container the path may be the host's; then only the root is there.
            parts = Path(name.lstrip("/"))
            found += [root / parts, *(root / part for part in parts.parents)]
    return found


def read_number(path: Path) -> int | None:
    """The number in a file; None where there is none (`max` is no number, and no limit)."""
    with contextlib.suppress(OSError, ValueError):
        return int(path.read_text())
    return None


def read_statistic(path: Path, name: str) -> int:
    """One value of a file of `name value` lines; 0 where there is none."""
    with contextlib.suppress(OSError, ValueError):
        for line in path.read_text().splitlines():
            key, _, value = line.partition(" ")
            if key == name:
                return int(value)
    return 0

"""`python -m tests.processes.faulty_forkserver FOLDER ...`: the product's forkserver, with a `fork` that
fails as the file `fork` in FOLDER says: an errno's name and whose fork it is. `refuse` writes it.
"""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

from control.forkserver import main as forkserver_main

FILE = "fork"


def refuse(folder: Path, name: str, who: str) -> None:
    """From now on. who: `forkserver`, or `forker`, the process between it and an agent"""
    new = folder / f"{FILE}.new"
    new.write_text(f"{name} {who}")
    new.rename(folder / FILE)


def allow(folder: Path) -> None:
    """From now on it works again."""
    (folder / FILE).unlink()


def main() -> int:
    folder, *arguments = sys.argv[1:]
    own_pid, fork = os.getpid(), os.fork

    def fork_or_fail() -> int:
        try:
            name, who = (Path(folder) / FILE).read_text().split()
        except FileNotFoundError:
            return fork()
        if (who == "forkserver") is (os.getpid() == own_pid):
            number = getattr(errno, name)
            raise OSError(number, os.strerror(number))
        return fork()

    os.fork = fork_or_fail
    return forkserver_main.main(arguments)


if __name__ == "__main__":
    sys.exit(main())

"""Ties a process's life to its parent's: the kernel kills it when the parent dies.

As a command, `python -m control.processes.leash PARENT_PID COMMAND...` ties itself and then becomes
COMMAND; the tie survives `exec`. That needs no code between fork and exec in a process with threads.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from typing import Final, NoReturn

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_CHILD_SUBREAPER: Final = 36


class ParentGoneError(RuntimeError):
    """The parent died before the tie was made."""


def die_with_parent(parent_pid: int) -> None:
    """Have the kernel send SIGKILL to this process when the parent's forking thread ends.

    A process that was adopted is tied to whoever adopted it, that is, to its main thread.

    Raises:
        ParentGoneError: `parent_pid` is not our parent (any more), so nobody would ever tell us.
        OSError: the kernel refused.
    """
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    # The parent may have died before the call above; only now is this question safe.
    if os.getppid() != parent_pid:
        raise ParentGoneError(f"process {parent_pid} is gone")


def adopt_orphans(*, is_wanted: bool = True) -> None:
    """Become the parent of all descendants whose own parent ends, from now on; or no longer.

    Raises:
        OSError: the kernel refused.
    """
    _prctl(_PR_SET_CHILD_SUBREAPER, int(is_wanted))


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option}) failed")


def main(arguments: list[str]) -> NoReturn:
    """Tie, then become the command; returns only when there is no parent left to serve."""
    parent_pid, *command = arguments
    try:
        die_with_parent(int(parent_pid))
    except ParentGoneError:
        sys.exit(1)
    os.execv(command[0], command)


if __name__ == "__main__":
    main(sys.argv[1:])

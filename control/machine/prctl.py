"""Process attributes that Linux sets with prctl(2): parent death, orphans, core dumps, merged pages.

As a command, `python -m control.machine.prctl PARENT_PID COMMAND...` sets the parent-death signal and
then becomes COMMAND; the signal survives `exec`. That needs no code between fork and exec in a process
with threads.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from typing import Final, NoReturn

# linux/prctl.h
_PR_SET_PDEATHSIG: Final = 1
_PR_SET_DUMPABLE: Final = 4
_PR_SET_CHILD_SUBREAPER: Final = 36
_PR_SET_MEMORY_MERGE: Final = 67


class ParentGoneError(RuntimeError):
    """The parent died before its death signal was set."""


def die_with_parent(parent_pid: int) -> None:
    """Have the kernel send SIGKILL to this process when its parent ends (PR_SET_PDEATHSIG).

    "Parent" is the thread that forked this process; for an adopted process the main thread of the
    process that adopted it.

    Raises:
        ParentGoneError: `parent_pid` is not the parent (any longer), so no signal would ever come.
        OSError: the kernel refused.
    """
    _prctl("PR_SET_PDEATHSIG", _PR_SET_PDEATHSIG, signal.SIGKILL)
    # The parent may have died before the call above; only now is this check free of a race.
    if os.getppid() != parent_pid:
        raise ParentGoneError(f"process {parent_pid} is gone")


def adopt_orphans(*, is_enabled: bool = True) -> None:
    """Become the parent of all descendants whose own parent ends (PR_SET_CHILD_SUBREAPER).

    Raises:
        OSError: the kernel refused.
    """
    _prctl("PR_SET_CHILD_SUBREAPER", _PR_SET_CHILD_SUBREAPER, int(is_enabled))


def make_undumpable() -> None:
    """Deny other processes of the same user, agents among them, to trace this process or to read its
    memory and first environment, which has all secrets (PR_SET_DUMPABLE).

    Root still may. No core file is written. Programs started by this process are not affected.

    Raises:
        OSError: the kernel refused.
    """
    _prctl("PR_SET_DUMPABLE", _PR_SET_DUMPABLE, 0)


def merge_equal_pages() -> None:
    """Have Linux keep equal memory pages of this process and its forks only once (KSM).

    Agents begin as forks of one image and then do much the same: most of the pages that each of them
    had to copy end up with the same content. The kernel copies a merged page again on a write.
    Needs Linux 6.4, and KSM switched on by the machine's administrator.

    Raises:
        OSError: this kernel cannot do it.
    """
    _prctl("PR_SET_MEMORY_MERGE", _PR_SET_MEMORY_MERGE, 1)


def _prctl(name: str, option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl({name}): {os.strerror(number)}")


def main(arguments: list[str]) -> NoReturn:
    """Set the death signal, then become the command; exit with 1 if the parent is gone already."""
    parent_pid, *command = arguments
    try:
        die_with_parent(int(parent_pid))
    except ParentGoneError:
        sys.exit(1)
    os.execv(command[0], command)


if __name__ == "__main__":
    main(sys.argv[1:])

"""Runs a program and ends all its descendants: `process_wrapper.py PARENT_PID COMMAND...`.

The wrapper ends with the program. On SIGTERM, or when its parent dies, it ends the program and all of
its descendants. Run by path, with `-I -S`: it needs the standard library only, and starts fast.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

TERM_GRACE_S = 0.3
KILL_DEADLINE_S = 2.0
NOT_STARTED = 127

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_ENDS = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
_WAITED_FOR = _ENDS | {signal.SIGCHLD}
_LIBC = ctypes.CDLL(None, use_errno=True)


def _prctl(option: int, value: int) -> None:
    if _LIBC.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option}) failed")


def _become_program() -> None:
    """Prepare the child between fork and exec: die with this process, receive all signals."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.pthread_sigmask(signal.SIG_SETMASK, set())


def _reap(program: int) -> int | None:
    """Reap all ended children; return the status of the program, if it is among them."""
    status = None
    while True:
        try:
            pid, ended = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return status
        if pid == 0:
            return status
        if pid == program:
            status = os.waitstatus_to_exitcode(ended)


def _children() -> list[int]:
    return [int(pid) for pid in Path("/proc/thread-self/children").read_text().split()]


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        pass


def _kill_all(program: int) -> None:
    """Kill all descendants: orphans are reparented to this process (subreaper) and killed too."""
    deadline_s = time.monotonic() + KILL_DEADLINE_S
    while (left := _children()) and time.monotonic() < deadline_s:
        for pid in left:
            _signal(pid, signal.SIGKILL)
        signal.sigtimedwait({signal.SIGCHLD}, 0.02)
        _reap(program)


def _ask_to_end(program: int) -> None:
    _signal(-program, signal.SIGTERM)
    deadline_s = time.monotonic() + TERM_GRACE_S
    while (left_s := deadline_s - time.monotonic()) > 0 and _children():
        signal.sigtimedwait({signal.SIGCHLD}, left_s)
        _reap(program)


def main(arguments: list[str]) -> int:
    """Run the program until it ends or must; return its exit code, as a shell reports it."""
    parent_pid, *command = arguments
    signal.pthread_sigmask(signal.SIG_BLOCK, _WAITED_FOR)
    _prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    # The parent may have died before the first call above; only now is this question safe.
    if os.getppid() != int(parent_pid):
        return NOT_STARTED
    try:
        # In a group of its own; one thread is ours, so that code before exec is safe.
        started = subprocess.Popen(command, process_group=0, preexec_fn=_become_program)  # noqa: PLW1509
    except (OSError, subprocess.SubprocessError):
        return NOT_STARTED
    program = started.pid
    # Its ends of the pipes are the only ones now: when it is gone, they close.
    for descriptor in (0, 1):
        os.close(descriptor)
    status: int | None = None
    while status is None:
        if signal.sigwait(_WAITED_FOR) in _ENDS:
            _ask_to_end(program)
            break
        status = _reap(program)
    _kill_all(program)
    started.returncode = 0 if status is None else status
    return 128 - status if status is not None and status < 0 else status or 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

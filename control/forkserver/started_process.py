"""`ChildProcess` and `StartedProcess`: children of the server, watched without a thread."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Callable
from typing import Final, Protocol

from control.child.stack_dump import StackFile

# Retries of the reaping: the exit of a grandchild may be seen before its parent has exited and the
# server has adopted it.
_ADOPTION_RETRY_S: Final = 0.02
_MAX_ADOPTION_RETRIES: Final = 100

# Pids of all children that a `ChildProcess` reaps, of all loops.
_watched: Final[set[int]] = set()


def watched_pids() -> frozenset[int]:
    """Return the pids of the children that a `ChildProcess` reaps."""
    return frozenset(_watched)


class ProcessSource(Protocol):
    """Source of agent processes: the forkserver, or a pool in front of it."""

    async def start_process(self) -> StartedProcess:
        """Return a process that waits for `link.Start` on its link."""
        ...


class ChildProcess:
    """Child of this process, reaped on the loop when its pidfd becomes readable.

    Signals go through the pidfd, so they can never hit another process that got the same pid.
    """

    def __init__(self, pid: int, on_exit: Callable[[], None] | None = None) -> None:
        """
        Args:
            pid: of a child, or of a grandchild that this process is about to adopt.
            on_exit: called before `exited` is set.

        Raises:
            OSError: no descriptor is left.
        """
        self.pid = pid
        # Negative for the number of a signal. None while it lives, or if the kernel did not report it.
        self.exit_code: int | None = None
        self.exited = asyncio.Event()
        self._on_exit = on_exit
        self._pidfd: int | None = os.pidfd_open(pid)
        _watched.add(pid)
        # Attempts of reaping so far, see `_MAX_ADOPTION_RETRIES`.
        self._retries = 0
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._pidfd, self._handle_exit)

    def _handle_exit(self) -> None:
        if self._pidfd is None:
            return
        self._loop.remove_reader(self._pidfd)
        try:
            found = os.waitid(os.P_PIDFD, self._pidfd, os.WEXITED | os.WNOHANG)
        except ChildProcessError:
            if self._retries < _MAX_ADOPTION_RETRIES:
                self._retries += 1
                self._loop.call_later(_ADOPTION_RETRY_S, self._handle_exit)
                return
        else:
            if found is not None:
                # Otherwise a signal killed it, and `si_status` is its number.
                has_exited = found.si_code == os.CLD_EXITED
                self.exit_code = found.si_status if has_exited else -found.si_status
        self.release()
        if self._on_exit is not None:
            self._on_exit()
        self.exited.set()

    def release(self) -> None:
        """Stop watching the process without reaping it. Idempotent."""
        if self._pidfd is not None:
            self._loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = None
            _watched.discard(self.pid)

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal; no effect if the process is gone."""
        if self._pidfd is not None:
            try:
                signal.pidfd_send_signal(self._pidfd, number)
            except ProcessLookupError:
                return


class StartedProcess(ChildProcess):
    """Agent process: pid, the server's end of its link, and its stack dump."""

    def __init__(self, pid: int, sock: socket.socket, stacks: StackFile) -> None:
        """
        Raises:
            OSError: no descriptor is left.
        """
        self.sock = sock
        # Its stack dump, if any; set when it has exited.
        self.stacks: str | None = None
        self._stack_file = stacks
        super().__init__(pid, self._keep_stacks)

    def _keep_stacks(self) -> None:
        self.stacks = self._stack_file.read()
        self._stack_file.close()

    def is_alive(self) -> bool:
        """Return false if the process has exited or closed its end of the link."""
        if self.exited.is_set():
            return False
        try:
            return self.sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) != b""
        except BlockingIOError:
            return True
        except OSError:
            return False

"""Processes that this server is the parent of: how each ends, and those that became agents."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Callable
from typing import Final, Protocol

from control.processes.stacks import StackFile

# A process that dies before we have adopted it: its parent is about to end.
_ADOPTION_PAUSE_S: Final = 0.02
_MAX_ADOPTION_PAUSES: Final = 100


# Of all loops, as the children are: the pids of those that somebody waits for.
_watched: Final[set[int]] = set()


def watched_pids() -> frozenset[int]:
    """Children for which a `ChildProcess` waits."""
    return frozenset(_watched)


class ProcessSource(Protocol):
    """Where agent processes come from; a pool of processes started in advance is another one."""

    async def start_process(self) -> StartedProcess:
        """A fresh process that waits for `link.Start` on its link."""
        ...


class ChildProcess:
    """A child of this process: its pid, and its end, for which no thread waits.

    Signals go through a pidfd, so they can never hit another process that got the same pid.
    """

    def __init__(self, pid: int, on_exit: Callable[[], None] | None = None) -> None:
        """on_exit: called before `exited` is set

        Raises:
            OSError: no descriptor is left.
        """
        self.pid = pid
        # A negative one is a signal's number; None while it lives, or when nobody can tell.
        self.exit_code: int | None = None
        self.exited = asyncio.Event()
        self._on_exit = on_exit
        self._pidfd: int | None = os.pidfd_open(pid)
        _watched.add(pid)
        self._pauses = 0
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._pidfd, self._handle_end)

    def _handle_end(self) -> None:
        if self._pidfd is None:
            return
        self._loop.remove_reader(self._pidfd)
        try:
            found = os.waitid(os.P_PIDFD, self._pidfd, os.WEXITED | os.WNOHANG)
        except ChildProcessError:
            if self._pauses < _MAX_ADOPTION_PAUSES:
                self._pauses += 1
                self._loop.call_later(_ADOPTION_PAUSE_S, self._handle_end)
                return
        else:
            if found is not None:
                has_exited = found.si_code == os.CLD_EXITED
                self.exit_code = found.si_status if has_exited else -found.si_status
        self.disown()
        if self._on_exit is not None:
            self._on_exit()
        self.exited.set()

    def disown(self) -> None:
        """Wait for it no more. Idempotent."""
        if self._pidfd is not None:
            self._loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = None
            _watched.discard(self.pid)

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal; nothing happens when the process is gone."""
        if self._pidfd is not None:
            try:
                signal.pidfd_send_signal(self._pidfd, number)
            except ProcessLookupError:
                return


class StartedProcess(ChildProcess):
    """An agent process: our end of its link, and what it wrote of its stacks."""

    def __init__(self, pid: int, sock: socket.socket, stacks: StackFile) -> None:
        """Raises:
        OSError: no descriptor is left.
        """
        self.sock = sock
        # Once it has exited.
        self.stacks: str | None = None
        self._stack_file = stacks
        super().__init__(pid, self._keep_stacks)

    def _keep_stacks(self) -> None:
        self.stacks = self._stack_file.read()
        self._stack_file.close()

    def is_alive(self) -> bool:
        """Whether its end of the link is open, as far as that shows already."""
        if self.exited.is_set():
            return False
        try:
            return self.sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) != b""
        except BlockingIOError:
            return True
        except OSError:
            return False

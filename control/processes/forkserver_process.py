"""`ForkserverProcess`: the forkserver as a child, and the socket over which it is asked."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Final

from control.processes.environment import outbound_environment
from control.processes.fork_protocol import Answer, Request, receive_answer, send_request

_ROOT: Final = str(Path(__file__).resolve().parents[2])
COMMAND: Final[tuple[str, ...]] = (sys.executable, "-m", "control.processes.forkserver_main")


class ForkserverProcess:
    """It belongs to no loop; whoever asks reads the answers from `sock`, which never waits."""

    def __init__(self, child: subprocess.Popen[bytes], sock: socket.socket) -> None:
        self.sock = sock
        # Whether it has told that it can fork.
        self.is_ready = False
        self._child = child

    @classmethod
    def launch(cls, *, should_merge_pages: bool = False) -> ForkserverProcess:
        """Start one; it needs most of a second until it is ready. Call it in the main thread, on
        whose life its own depends.

        Raises:
            OSError: no process, descriptor or memory is left.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        arguments = [str(theirs.fileno()), str(os.getpid()), "1" if should_merge_pages else ""]
        try:
            with theirs:
                # A session of its own: a terminal's Ctrl-C is the server's business.
                child = subprocess.Popen(
                    [*COMMAND, *arguments],
                    stdin=subprocess.DEVNULL,
                    env=_environment(),
                    pass_fds=[theirs.fileno()],
                    start_new_session=True,
                )
        except BaseException:
            ours.close()
            raise
        ours.setblocking(False)
        return cls(child, ours)

    @property
    def pid(self) -> int:
        """Of the forkserver."""
        return self._child.pid

    def send(self, request: Request) -> None:
        """Ask; see `send_request`."""
        send_request(self.sock, request)

    def receive(self) -> Answer | None:
        """What it answered; see `receive_answer`."""
        return receive_answer(self.sock)

    def kill(self) -> None:
        """End it, reap it, and free everything."""
        self._child.kill()
        self.close(self._child.wait())

    def close(self, exit_code: int | None) -> None:
        """It has been reaped: free what is left of it here."""
        # So that nobody waits for a process of this pid any more.
        self._child.returncode = 0 if exit_code is None else exit_code
        self.sock.close()


def _environment() -> dict[str, str]:
    environment = outbound_environment(os.environ)
    # It finds our modules wherever the server was started from.
    paths = environment.get("PYTHONPATH", "").split(os.pathsep)
    environment["PYTHONPATH"] = os.pathsep.join(dict.fromkeys([_ROOT, *filter(None, paths)]))
    return environment

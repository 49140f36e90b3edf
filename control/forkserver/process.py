"""`ForkserverProcess`: the forkserver as a child process of the server, with its request socket."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from control.child.environment import outbound_environment
from control.forkserver.app_report import MAX_REPORT_BYTES
from control.forkserver.app_source import AppSource
from control.forkserver.protocol import Answer, Part, Request, receive_answer, send_request

_ROOT: Final = str(Path(__file__).resolve().parents[2])
COMMAND: Final[tuple[str, ...]] = (sys.executable, "-m", "control.forkserver.main")


class ForkserverProcess:
    """Child process and socket, independent of any loop. `sock` is non-blocking; the caller polls it."""

    def __init__(self, child: subprocess.Popen[bytes], sock: socket.socket) -> None:
        self.sock = sock
        # True once it has sent `READY`.
        self.is_ready = False
        # JSON text about its app, as far as it has arrived.
        self.report = bytearray()
        self._child = child

    @classmethod
    def launch(
        cls,
        *,
        should_merge_pages: bool = False,
        app: AppSource | None = None,
        sound_folders: Sequence[Path] = (),
    ) -> ForkserverProcess:
        """Start one; it takes most of a second to become ready. Call it in the main thread: the
        child is killed when the calling thread ends.

        Raises:
            OSError: no process, descriptor or memory is left.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        arguments = [str(theirs.fileno()), str(os.getpid()), "1" if should_merge_pages else ""]
        arguments.append(app.to_argument() if app else "")
        arguments.append(json.dumps([str(each) for each in sound_folders]))
        try:
            with theirs:
                # A session of its own: a terminal's Ctrl-C reaches only the server.
                child = subprocess.Popen(
                    [*COMMAND, *arguments],
                    stdin=subprocess.DEVNULL,
                    env={**_environment(), **(app.variables if app else {})},
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
        """Pid of the forkserver."""
        return self._child.pid

    def send(self, request: Request) -> None:
        """Send a request; see `send_request`."""
        send_request(self.sock, request)

    def receive(self) -> Answer | Part | None:
        """Return the next answer or part; see `receive_answer`."""
        return receive_answer(self.sock)

    def add_report(self, data: bytes) -> None:
        """Keep a part of the report; one that is too large is never complete."""
        if len(self.report) <= MAX_REPORT_BYTES:
            self.report += data

    def kill(self) -> None:
        """Kill and reap it, and close the socket."""
        self._child.kill()
        self.close(self._child.wait())

    def close(self, exit_code: int | None) -> None:
        """Close the socket of a process that has been reaped elsewhere."""
        # So that `Popen` never waits for this pid, which the kernel may reuse.
        self._child.returncode = 0 if exit_code is None else exit_code
        self.sock.close()


def _environment() -> dict[str, str]:
    environment = outbound_environment(os.environ)
    # So that the project's modules are found from any working directory.
    paths = environment.get("PYTHONPATH", "").split(os.pathsep)
    environment["PYTHONPATH"] = os.pathsep.join(dict.fromkeys([_ROOT, *filter(None, paths)]))
    return environment

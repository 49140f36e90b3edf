"""The forkserver's own process: has imported everything, and forks agent processes when asked.

`python -m control.processes.forkserver_main SOCKET_FD SERVER_PID MERGE_PAGES`. Nothing in its loop
may raise: what cannot be done is answered with the number of the kernel's error.

An agent process is a child of the server, not of this one: it is forked by a fork that ends at once,
so that the server, who adopts orphans, becomes its parent. The end of the forkserver is then nothing
to it; the server's end is its own (`leash`), however stuck it is.
"""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import signal
import socket
import struct
import sys
import threading
import time
import traceback
from dataclasses import dataclass
from typing import Final, NoReturn

from control.processes.fork_protocol import (
    READY,
    Answer,
    Request,
    Wish,
    close_all,
    receive_request,
    send_answer,
)
from control.processes.leash import ParentGoneError, die_with_parent

MAX_AGENT_DESCRIPTORS: Final = 1024
"""What an agent process may open; the server's own limit may be far higher."""

_FORK_RESULT: Final = struct.Struct("!ii")
_ADOPTION_DEADLINE_S: Final = 5.0
_CRASHED: Final = 1
_SUPERVISOR_GONE: Final = 4


@dataclass(frozen=True)
class Birth:
    """What a fresh agent process is told by the one that forked it."""

    request: Request
    server_pid: int
    forker_pid: int


class ForkLoop:
    """Answers requests, one after the other."""

    def __init__(self, sock: socket.socket, server_pid: int) -> None:
        self._sock = sock
        self._server_pid = server_pid
        # Made now: later there may be no descriptors.
        self._results, self._result_sink = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def run(self) -> Birth | None:
        """None when the server is gone; in each fork, what it is to be."""
        self._answer(READY)
        while True:
            try:
                request = receive_request(self._sock)
            except ConnectionError:
                return None
            except (OSError, MemoryError):
                time.sleep(0.05)
                continue
            if request is None:
                return None
            birth = self._serve(request)
            if birth is not None:
                return birth
            close_all(request.descriptors)

    def _serve(self, request: Request) -> Birth | None:
        if request.wish is Wish.LOOK:
            self._answer(Answer(request.number))
        elif request.wish is Wish.FORK and len(request.descriptors) != 2:
            self._answer(Answer(request.number, errno=errno.EMFILE))
        else:
            return self._fork(request)
        return None

    def _fork(self, request: Request) -> Birth | None:
        try:
            forker = os.fork()
        except (OSError, MemoryError) as error:
            self._answer(Answer(request.number, errno=_errno_of(error)))
            return None
        if forker == 0:
            return self._be_forker(request)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(forker, 0)
        self._answer(self._read_result(request.number))
        return None

    def _be_forker(self, request: Request) -> Birth:
        """Between forkserver and agent process: fork once more, and end."""
        own_pid = os.getpid()
        pid, error_number = 0, 0
        try:
            pid = os.fork()
        except (OSError, MemoryError) as error:
            error_number = _errno_of(error)
        else:
            if pid == 0 and request.wish is Wish.FORK:
                return Birth(request, self._server_pid, own_pid)
            if pid == 0:
                os._exit(0)  # noqa: TID251 - a copy with nothing of its own
        if pid and request.wish is Wish.TRY:
            os.waitpid(pid, 0)
            pid = 0
        with contextlib.suppress(OSError):
            os.write(self._result_sink, _FORK_RESULT.pack(pid, error_number))
        os._exit(0)  # noqa: TID251 - likewise

    def _read_result(self, number: int) -> Answer:
        try:
            pid, error_number = _FORK_RESULT.unpack(os.read(self._results, _FORK_RESULT.size))
        except (OSError, struct.error):
            # It was killed before it could say anything: for want of memory, most likely.
            pid, error_number = 0, errno.ENOMEM
        return Answer(number, pid, error_number)

    def _answer(self, answer: Answer) -> None:
        # The server's end is seen when the next request is read.
        with contextlib.suppress(OSError):
            send_answer(self._sock, answer)

    def close(self) -> None:
        """Let go of everything that is the forkserver's, in a process that is not."""
        self._sock.close()
        close_all((self._results, self._result_sink))


def _errno_of(error: BaseException) -> int:
    number = error.errno if isinstance(error, OSError) else errno.ENOMEM
    return number or errno.EAGAIN


def _tie_to_server(birth: Birth) -> None:
    """Until the server has adopted us; from then on the kernel ends us with it.

    Raises:
        ParentGoneError: there is no server (any more).
    """
    deadline_s = time.monotonic() + _ADOPTION_DEADLINE_S
    while os.getppid() == birth.forker_pid and time.monotonic() < deadline_s:
        time.sleep(0.0002)
    die_with_parent(birth.server_pid)


def _be_agent(birth: Birth) -> NoReturn:
    """The agent process, to its exit; the end of the interpreter would copy all of its pages."""
    exit_code = _CRASHED
    try:
        _tie_to_server(birth)
        from control.processes import child
        from control.processes.stacks import StackFile

        link_fd, stacks_fd = birth.request.descriptors
        sock, stacks = socket.socket(fileno=link_fd), StackFile(stacks_fd)
        exit_code = child.main(sock, stacks, birth.request.entry)
    except ParentGoneError:
        exit_code = _SUPERVISOR_GONE
    except SystemExit as error:
        exit_code = error.code if isinstance(error.code, int) else _CRASHED
    except Exception:  # noqa: BLE001 - the last place in which it can be told
        with contextlib.suppress(OSError, ValueError):
            traceback.print_exc()
    finally:
        with contextlib.suppress(BaseException):
            threading._shutdown()  # type: ignore[attr-defined]  # noqa: SLF001 - waits for threads
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()
        os._exit(exit_code)  # noqa: TID251 - all finally blocks are behind us


def _limit_descriptors() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft > MAX_AGENT_DESCRIPTORS:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (MAX_AGENT_DESCRIPTORS, hard))


def main(arguments: list[str]) -> int:
    """Be the forkserver until the server is gone; returns the exit code."""
    socket_fd, server_pid, merge_pages = arguments
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        die_with_parent(int(server_pid))
    except ParentGoneError:
        return _SUPERVISOR_GONE
    from control.processes.preload import prepare

    _limit_descriptors()
    prepare(should_merge_pages=merge_pages == "1")
    loop = ForkLoop(socket.socket(fileno=int(socket_fd)), int(server_pid))
    birth = loop.run()
    if birth is None:
        return 0
    loop.close()
    _be_agent(birth)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

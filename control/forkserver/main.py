"""Main module of the forkserver process: imports everything once, then forks agent processes.

`python -m control.forkserver.main SOCKET_FD SERVER_PID MERGE_PAGES APP SOUNDS`; APP:
`AppSource.to_argument`, or empty; SOUNDS: folders as a JSON list. Nothing in its loop may raise: a failed fork is answered with its errno.

An agent process is a child of the server, not of the forkserver: it is forked by an intermediate fork
that exits at once, so that the server, which adopts orphans, becomes its parent. An agent process
therefore survives the forkserver, and the kernel kills it with the server (`prctl.die_with_parent`).
"""

from __future__ import annotations

import contextlib
import errno
import json
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

from control.forkserver.protocol import (
    READY,
    Answer,
    Request,
    RequestKind,
    close_all,
    receive_request,
    send_answer,
)
from control.machine.prctl import ParentGoneError, die_with_parent

MAX_AGENT_DESCRIPTORS: Final = 1024
"""Descriptor limit of agent processes; that of the server may be far higher."""

# Result of the intermediate process: pid and errno.
_FORK_RESULT: Final = struct.Struct("!ii")
# For the intermediate process to exit, and the server to become the parent.
_ADOPTION_DEADLINE_S: Final = 5.0
# Exit codes, as in `control.child.main.ExitCode`, which is imported only after the fork.
_CRASHED: Final = 1
_SUPERVISOR_GONE: Final = 4

APP_FAILED: Final = 3
"""Exit code of a forkserver that could not load its app, and has reported why."""


@dataclass(frozen=True)
class ForkContext:
    """Context of a new agent process: its request, and the pids of its future and first parent."""

    request: Request
    server_pid: int
    intermediate_pid: int


class ForkLoop:
    """Serve requests, one after the other."""

    def __init__(self, sock: socket.socket, server_pid: int) -> None:
        self._sock = sock
        self._server_pid = server_pid
        # Pipe for the results of intermediate forks. Created now: later there may be no descriptors.
        self._results, self._result_sink = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def run(self) -> ForkContext | None:
        """Serve until the server is gone; return None then, and in a forked agent process its context."""
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
            forked = self._serve(request)
            if forked is not None:
                return forked
            close_all(request.descriptors)

    def _serve(self, request: Request) -> ForkContext | None:
        if request.kind is RequestKind.PING:
            self._answer(Answer(request.number))
        elif request.kind is RequestKind.FORK and len(request.descriptors) != 2:
            self._answer(Answer(request.number, errno=errno.EMFILE))
        else:
            return self._fork(request)
        return None

    def _fork(self, request: Request) -> ForkContext | None:
        try:
            intermediate_pid = os.fork()
        except (OSError, MemoryError) as error:
            self._answer(Answer(request.number, errno=_errno_of(error)))
            return None
        if intermediate_pid == 0:
            return self._run_intermediate(request)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(intermediate_pid, 0)
        self._answer(self._read_result(request.number))
        return None

    def _run_intermediate(self, request: Request) -> ForkContext:
        """Fork the agent process, report its pid and exit; return its context in the agent process."""
        own_pid = os.getpid()
        pid, error_number = 0, 0
        try:
            pid = os.fork()
        except (OSError, MemoryError) as error:
            error_number = _errno_of(error)
        else:
            if pid == 0 and request.kind is RequestKind.FORK:
                return ForkContext(request, self._server_pid, own_pid)
            if pid == 0:
                os._exit(0)  # noqa: TID251 - a copy that owns nothing
        if pid and request.kind is RequestKind.TEST_FORK:
            os.waitpid(pid, 0)
            pid = 0
        with contextlib.suppress(OSError):
            os.write(self._result_sink, _FORK_RESULT.pack(pid, error_number))
        os._exit(0)  # noqa: TID251 - a copy that owns nothing

    def _read_result(self, number: int) -> Answer:
        try:
            pid, error_number = _FORK_RESULT.unpack(os.read(self._results, _FORK_RESULT.size))
        except (OSError, struct.error):
            # The intermediate process was killed before it wrote, most likely by the OOM killer.
            pid, error_number = 0, errno.ENOMEM
        return Answer(number, pid, error_number)

    def _answer(self, answer: Answer) -> None:
        # A server that is gone is noticed when the next request is read.
        with contextlib.suppress(OSError):
            send_answer(self._sock, answer)

    def close(self) -> None:
        """Close the forkserver's descriptors, in a forked process."""
        self._sock.close()
        close_all((self._results, self._result_sink))


def _errno_of(error: BaseException) -> int:
    number = error.errno if isinstance(error, OSError) else errno.ENOMEM
    return number or errno.EAGAIN


def _die_with_server(context: ForkContext) -> None:
    """Wait until the server has adopted this process, then set its death signal.

    Raises:
        ParentGoneError: there is no server (any longer).
    """
    deadline_s = time.monotonic() + _ADOPTION_DEADLINE_S
    while os.getppid() == context.intermediate_pid and time.monotonic() < deadline_s:
        time.sleep(0.0002)
    die_with_parent(context.server_pid)


def _run_agent(context: ForkContext) -> NoReturn:
    """Run the agent process to its exit, without the interpreter's finalization: it would write to
    all pages that are shared with the forkserver, and copy them.
    """
    exit_code = _CRASHED
    try:
        _die_with_server(context)
        from control.child import main as child
        from control.child.stack_dump import StackFile

        link_fd, stacks_fd = context.request.descriptors
        sock, stacks = socket.socket(fileno=link_fd), StackFile(stacks_fd)
        exit_code = child.main(sock, stacks, context.request.entry)
    except ParentGoneError:
        exit_code = _SUPERVISOR_GONE
    except SystemExit as error:
        exit_code = error.code if isinstance(error.code, int) else _CRASHED
    except Exception:  # noqa: BLE001 - the last place where it can be logged
        with contextlib.suppress(OSError, ValueError):
            traceback.print_exc()
    finally:
        with contextlib.suppress(BaseException):
            threading._shutdown()  # type: ignore[attr-defined]  # noqa: SLF001 - joins threads
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()
        os._exit(exit_code)  # noqa: TID251 - all finally blocks have run


def _limit_descriptors() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft > MAX_AGENT_DESCRIPTORS:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (MAX_AGENT_DESCRIPTORS, hard))


def main(arguments: list[str]) -> int:
    """Run the forkserver until the server is gone; return the exit code."""
    socket_fd, server_pid, merge_pages, app_argument, sound_folders = arguments
    # A terminal's Ctrl-C is handled by the server.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        die_with_parent(int(server_pid))
    except ParentGoneError:
        return _SUPERVISOR_GONE
    from control.forkserver.app_source import AppSource, load_and_report
    from control.forkserver.preload import decode_sounds, freeze, prepare

    _limit_descriptors()
    app = AppSource.from_argument(app_argument) if app_argument else None
    sock = socket.socket(fileno=int(socket_fd))
    prepare(should_merge_pages=merge_pages == "1", kept_variables=app.variables if app else ())
    if app is not None and not load_and_report(app, sock):
        return APP_FAILED
    decode_sounds(json.loads(sound_folders))
    freeze()
    loop = ForkLoop(sock, int(server_pid))
    context = loop.run()
    if context is None:
        return 0
    loop.close()
    _run_agent(context)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

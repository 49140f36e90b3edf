"""Starts agent processes as forks of a server process that has already imported everything.

`multiprocessing`'s forkserver, with our `preload` as its preload. Its bookkeeping is not made
for several threads, and a start blocks for some milliseconds, so one thread of ours does all of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import multiprocessing
import os
import signal
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import forkserver, resource_tracker, spawn
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

from control.processes import child
from control.processes.environment import MAIN_MODULE, MERGE_PAGES
from control.processes.stacks import StackFile
from utils import OwnedTasks

_ROOT: Final = str(Path(__file__).resolve().parents[2])
_PROBE_DEADLINE_S: Final = 30.0
_STOP_DEADLINE_S: Final = 6.0

_log = logging.getLogger("control.forkserver")

_T = TypeVar("_T")
_Forked = tuple[ForkServerProcess, socket.socket, StackFile]


class ProcessSource(Protocol):
    """Where agent processes come from; a pool of processes started in advance is another one."""

    async def start_process(self) -> StartedProcess:
        """A fresh process that waits for `link.Start` on its link."""
        ...


class StartedProcess:
    """A process of ours: its pid, our end of its link, and its end.

    Signals go through a pidfd, so they can never hit another process that got the same pid.
    """

    def __init__(
        self,
        process: ForkServerProcess,
        sock: socket.socket,
        stacks: StackFile,
        bookkeeper: ThreadPoolExecutor,
    ) -> None:
        self.sock = sock
        self.exit_code: int | None = None
        # What it wrote of its stacks, once it has exited.
        self.stacks: str | None = None
        self.exited = asyncio.Event()
        self._process = process
        self._stack_file = stacks
        self._bookkeeper = bookkeeper
        assert process.pid is not None
        self.pid: int = process.pid
        self._pidfd = _open_pidfd(self.pid)
        self._loop = asyncio.get_running_loop()
        # Readable when the forkserver has reaped the process: no thread waits for it.
        self._loop.add_reader(process.sentinel, self._handle_sentinel)

    def _handle_sentinel(self) -> None:
        self._loop.remove_reader(self._process.sentinel)
        try:
            reaping = self._loop.run_in_executor(self._bookkeeper, self._reap)
        except RuntimeError:
            # The thread was let go: nobody else keeps books any more.
            self._handle_reaped(self._reap())
            return
        reaping.add_done_callback(lambda done: self._handle_reaped(done.result()))

    def _reap(self) -> int | None:
        exit_code = self._process.exitcode
        self._process.close()
        return exit_code

    def _handle_reaped(self, exit_code: int | None) -> None:
        self.exit_code = exit_code
        self.stacks = self._stack_file.read()
        self._stack_file.close()
        if self._pidfd is not None:
            os.close(self._pidfd)
            self._pidfd = None
        self.exited.set()

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

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal; nothing happens when the process is gone."""
        if self._pidfd is not None:
            try:
                signal.pidfd_send_signal(self._pidfd, number)
            except ProcessLookupError:
                return


def _open_pidfd(pid: int) -> int | None:
    """None when the process ended at once."""
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        return None


class Forkserver:
    """The preloaded server process; `start` it early, it needs most of a second."""

    def __init__(
        self, entry: str = child.DEFAULT_ENTRY, *, should_merge_pages: bool = False
    ) -> None:
        """
        entry: `module:name` of the agent's class, from the server's own code only
        should_merge_pages: let the kernel keep equal pages of its forks once (`page_merging`)
        """
        self._entry = entry
        self._should_merge_pages = should_merge_pages
        self._context = multiprocessing.get_context("forkserver")
        self._bookkeeper = ThreadPoolExecutor(1, thread_name_prefix="forkserver")
        self._tasks = OwnedTasks(_log)
        self._unwanted: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Start the forkserver and return when it has proved that it can fork.

        Raises:
            OSError: it cannot be started, or did not answer in time.
        """
        await self._run(self._start_forkserver)

    def _start_forkserver(self) -> None:
        # The forkserver finds our modules wherever the server was started from.
        paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
        if _ROOT not in paths:
            os.environ["PYTHONPATH"] = os.pathsep.join([_ROOT, *filter(None, paths)])
        main = spawn.get_preparation_data("agent")
        names = (main.get("init_main_from_name", ""), main.get("init_main_from_path", ""))
        os.environ[MAIN_MODULE] = "\n".join(names)
        os.environ[MERGE_PAGES] = "1" if self._should_merge_pages else ""
        self._context.set_forkserver_preload(["control.processes.preload"])
        probe = self._context.Process(target=os.getpid, name="probe", daemon=True)
        probe.start()
        probe.join(_PROBE_DEADLINE_S)
        if probe.exitcode != 0:
            raise OSError(f"the forkserver does not work (exit code {probe.exitcode})")
        probe.close()

    async def start_process(self) -> StartedProcess:
        """A fresh process that waits for `link.Start` on its link.

        Raises:
            OSError: no process, descriptor or memory is left.
        """
        forking = asyncio.get_running_loop().run_in_executor(self._bookkeeper, self._fork)
        try:
            process, ours, stacks = await asyncio.shield(forking)
        except asyncio.CancelledError:
            # The fork goes on in its thread; what nobody wants any more ends when its link does.
            ending = self._tasks.start(self._abandon(forking), name="unwanted agent process")
            self._unwanted.add(ending)
            ending.add_done_callback(self._unwanted.discard)
            raise
        return StartedProcess(process, ours, stacks, self._bookkeeper)

    async def _abandon(self, forking: asyncio.Future[_Forked]) -> None:
        try:
            process = StartedProcess(*await forking, self._bookkeeper)
        except OSError:
            return
        process.sock.close()
        await process.exited.wait()

    async def settle(self) -> None:
        """Until the processes are gone whose starts were given up; each has a moment to end."""
        if self._unwanted:
            await asyncio.wait(self._unwanted, timeout=_STOP_DEADLINE_S)
        await self._tasks.close()

    def _fork(self) -> _Forked:
        with contextlib.ExitStack() as on_failure:
            ours, theirs = socket.socketpair()
            on_failure.enter_context(ours)
            stacks = StackFile.create()
            on_failure.callback(stacks.close)
            with theirs:
                process = self._start(theirs, stacks)
            on_failure.pop_all()
        return process, ours, stacks

    def _start(self, theirs: socket.socket, stacks: StackFile) -> ForkServerProcess:
        # Daemonic: should we exit without having stopped it, multiprocessing does not wait for it.
        process = self._context.Process(
            target=child.main, args=(theirs, stacks, self._entry), name="agent", daemon=True
        )
        try:
            process.start()
        except EOFError as error:
            raise OSError("the forkserver went away during a start") from error
        return process

    async def _run(self, call: Callable[[], _T]) -> _T:
        """In our thread, to its end."""
        future = asyncio.get_running_loop().run_in_executor(self._bookkeeper, call)
        return await asyncio.shield(future)

    async def stop(self) -> None:
        """End and reap the forkserver, so that our exit leaves nothing to others. Call it last."""
        await self.settle()
        try:
            async with asyncio.timeout(_STOP_DEADLINE_S):
                await self._run(_stop_helpers)
        except TimeoutError:
            _log.warning("the forkserver does not end; it will when we are gone")
        self.close()

    def close(self) -> None:
        """Free the thread; the forkserver itself ends with our process. Idempotent."""
        self._bookkeeper.shutdown(wait=False)


def _stop_helpers() -> None:
    """multiprocessing leaves its helper processes to init, which may reap them late or never."""
    helpers: tuple[Any, ...] = (
        forkserver._forkserver,  # noqa: SLF001 - there is no other way
        resource_tracker._resource_tracker,  # noqa: SLF001
    )
    for helper in helpers:
        helper._stop()  # noqa: SLF001

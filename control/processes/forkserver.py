"""`Forkserver`: agent processes as forks of a process that has already imported everything.

The forkserver is asked again and again whether it still answers. One that ended or hangs is replaced,
however often; starts wait for the next one, and agents that live know nothing of it
(`forkserver_main`).
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import itertools
import logging
import os
import signal
import socket
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from control.processes import child
from control.processes.fork_protocol import READY_NUMBER, Answer, Request, Wish
from control.processes.forkserver_process import ForkserverProcess
from control.processes.leash import adopt_orphans
from control.processes.stacks import StackFile
from control.processes.started import ChildProcess, StartedProcess
from utils import OwnedTasks, run_unless

_STOP_DEADLINE_S: Final = 6.0

_log = logging.getLogger("control.forkserver")

_REMEDIES: Final = {
    errno.EAGAIN: "a limit of processes is reached: RLIMIT_NPROC, or pids.max of the control group",
    errno.ENOMEM: "there is no memory for another process",
    errno.EMFILE: "there are no descriptors left: RLIMIT_NOFILE",
}


class ForkserverState(StrEnum):
    """Where the forkserver is. SILENT: it did not answer when it was last asked."""

    OFF = "off"
    STARTING = "starting"
    READY = "ready"
    SILENT = "silent"
    BACKOFF = "backoff"


@dataclass(frozen=True)
class ForkserverTimes:
    """All in seconds. start: until one is ready; look: between two questions; silence: after which
    it counts as hung; wait: of a start for a forkserver; pauses before one that follows a failed one
    double from `first_pause` to `max_pause`
    """

    start_s: float = 30.0
    look_s: float = 1.0
    silence_s: float = 4.0
    wait_s: float = 12.0
    first_pause_s: float = 0.25
    max_pause_s: float = 15.0


@dataclass(frozen=True)
class ForkserverStatistics:
    """restarts: forkservers that followed a lost one; refusals: forks that failed, by errno's name"""

    restarts: int
    refusals: Mapping[str, int]


class ForkserverLostError(OSError):
    """The forkserver ended before it answered, or there is none now."""


class Forkserver:
    """A `ProcessSource`; `start` it early, it needs most of a second."""

    def __init__(
        self,
        entry: str = child.DEFAULT_ENTRY,
        *,
        should_merge_pages: bool = False,
        times: ForkserverTimes | None = None,
    ) -> None:
        """
        entry: `module:name` of the agent's class, from the server's own code only
        should_merge_pages: let the kernel keep equal pages of its forks once (`page_merging`)
        """
        # Why there is none, or why the last fork failed; empty when all is well.
        self.problem = ""
        self._entry = entry
        self._should_merge_pages = should_merge_pages
        self._times = times or ForkserverTimes()
        self._state = ForkserverState.OFF
        self._answered_s = float("-inf")
        self._answered = asyncio.Event()
        self._process: ForkserverProcess | None = None
        self._numbers = itertools.count(READY_NUMBER + 1)
        self._asked: dict[int, asyncio.Future[Answer]] = {}
        self._restarts = 0
        self._refusals: Counter[str] = Counter()
        self._changed = asyncio.Condition()
        self._tasks = OwnedTasks(_log)
        self._supervising: asyncio.Task[None] | None = None
        self._unwanted: set[asyncio.Future[None]] = set()

    # -- looking ---------------------------------------------------------------------------------

    @property
    def state(self) -> ForkserverState:
        """As it is now, whatever it was when it was last asked."""
        age_s = time.monotonic() - self._answered_s
        is_late = age_s > self._times.look_s + self._times.silence_s / 2
        is_ready = self._state is ForkserverState.READY
        return ForkserverState.SILENT if is_ready and is_late else self._state

    @property
    def pid(self) -> int | None:
        """Of the forkserver; None while there is none."""
        return self._process.pid if self._process else None

    @property
    def statistics(self) -> ForkserverStatistics:
        """Counts since the start."""
        return ForkserverStatistics(self._restarts, dict(self._refusals))

    # -- starting and stopping -------------------------------------------------------------------

    async def start(self) -> None:
        """Start the forkserver and return when it has proved that it can fork.

        Raises:
            OSError: it cannot be started, or did not answer in time.
        """
        adopt_orphans()
        self._supervising = self._tasks.start(self._supervise(), name="forkserver")
        async with self._changed:
            await self._changed.wait_for(lambda: self._state in _DECIDED)
        if self._state is not ForkserverState.READY or self.problem:
            raise OSError(f"the forkserver does not work: {self.problem}")

    async def settle(self) -> None:
        """Until the processes are gone whose starts were given up; each has a moment to end."""
        if self._unwanted:
            await asyncio.wait(self._unwanted, timeout=_STOP_DEADLINE_S)

    async def stop(self) -> None:
        """End and reap the forkserver. Call it last. Idempotent."""
        await self.settle()
        await self._tasks.close()
        self._state = ForkserverState.OFF

    # -- forking ---------------------------------------------------------------------------------

    async def start_process(self) -> StartedProcess:
        """A fresh process that waits for `link.Start` on its link.

        Raises:
            OSError: no process, descriptor or memory is left, or no forkserver is to be had.
        """
        deadline_s = time.monotonic() + self._times.wait_s
        while True:
            server = await self._wait_server(deadline_s)
            try:
                return await self._fork(server)
            except ForkserverLostError:
                if time.monotonic() >= deadline_s:
                    raise

    async def _wait_server(self, deadline_s: float) -> ForkserverProcess:
        """A forkserver that is ready."""
        try:
            async with asyncio.timeout(deadline_s - time.monotonic()), self._changed:
                await self._changed.wait_for(lambda: self._state is ForkserverState.READY)
        except TimeoutError as error:
            text = f"there is no forkserver now ({self._state} {self.problem}".strip() + ")"
            raise ForkserverLostError(text) from error
        assert self._process is not None
        return self._process

    async def _fork(self, server: ForkserverProcess) -> StartedProcess:
        with contextlib.ExitStack() as on_failure:
            ours, theirs = socket.socketpair()
            on_failure.enter_context(ours)
            with theirs:
                stacks = StackFile.create()
                on_failure.callback(stacks.close)
                # Kept free for the process's pidfd: what was forked must not be lost.
                spare = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
                on_spare = on_failure.enter_context(contextlib.ExitStack())
                on_spare.callback(os.close, spare)
                asked = self._ask(server, Wish.FORK, (theirs.fileno(), stacks.fileno()))
            pid = await self._forked(asked)
            on_spare.close()
            process = _hold(pid, ours, stacks)
            on_failure.pop_all()
        return process

    async def _forked(self, asked: asyncio.Future[Answer]) -> int:
        """The pid of the process that was asked for."""
        try:
            answer = await asyncio.shield(asked)
        except asyncio.CancelledError:
            # Nobody wants it any more: it ends when its link does.
            burying = self._tasks.start(self._bury(asked), name="unwanted agent process")
            self._unwanted.add(burying)
            burying.add_done_callback(self._unwanted.discard)
            raise
        if answer.errno:
            self._refusals[errno.errorcode.get(answer.errno, str(answer.errno))] += 1
            raise self._note_refusal(answer.errno)
        self.problem = ""
        return answer.pid

    def _note_refusal(self, number: int) -> OSError:
        refused = _refusal(number)
        self.problem = str(refused.strerror)
        return refused

    async def _bury(self, asked: asyncio.Future[Answer]) -> None:
        try:
            answer = await asked
        except ForkserverLostError:
            return
        if answer.pid:
            await ChildProcess(answer.pid).exited.wait()

    # -- asking ----------------------------------------------------------------------------------

    def _ask(
        self, server: ForkserverProcess, wish: Wish, descriptors: tuple[int, ...] = ()
    ) -> asyncio.Future[Answer]:
        """The answer to come; ForkserverLostError when the forkserver ends before."""
        number = next(self._numbers)
        entry = self._entry if wish is Wish.FORK else ""
        try:
            server.send(Request(number, wish, entry, descriptors))
        except (BlockingIOError, ConnectionError) as error:
            raise ForkserverLostError("the forkserver takes no requests") from error
        asked: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._asked[number] = asked
        return asked

    def _handle_answers(self, server: ForkserverProcess) -> None:
        """Take all that have arrived."""
        try:
            while (answer := server.receive()) is not None:
                self._handle_answer(server, answer)
        except BlockingIOError:
            return
        except ConnectionError:
            pass  # it ended with requests unread
        except OSError as error:
            _log.warning("the forkserver's answers cannot be read: %s", error)
        # Its end is seen by its exit; the socket has nothing more to tell.
        asyncio.get_running_loop().remove_reader(server.sock)

    def _handle_answer(self, server: ForkserverProcess, answer: Answer) -> None:
        self._answered_s = time.monotonic()
        self._answered.set()
        if answer.number == READY_NUMBER:
            server.is_ready = True
        elif (asked := self._asked.pop(answer.number, None)) is not None:
            asked.set_result(answer)

    # -- supervising -----------------------------------------------------------------------------

    async def _enter(self, state: ForkserverState) -> None:
        async with self._changed:
            self._state = state
            self._changed.notify_all()

    async def _supervise(self) -> None:
        pause_s = self._times.first_pause_s
        while True:
            await self._enter(ForkserverState.STARTING)
            began_s = time.monotonic()
            try:
                self.problem = await self._run_once()
            except Exception as error:  # noqa: BLE001 - there must be another forkserver
                _log.exception("watching the forkserver failed")
                self.problem = f"{type(error).__name__}: {error}"
            # One that lived for long has nothing to do with those before it.
            is_new_trouble = time.monotonic() - began_s > 4 * self._times.max_pause_s
            pause_s = self._times.first_pause_s if is_new_trouble else pause_s
            _log.error("the forkserver is lost: %s; the next one in %g s", self.problem, pause_s)
            await self._enter(ForkserverState.BACKOFF)
            await asyncio.sleep(pause_s)
            pause_s = min(self._times.max_pause_s, 2 * pause_s)
            self._restarts += 1

    async def _run_once(self) -> str:
        """One forkserver from its start to its reaping; returns why it is no more."""
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[None] = loop.create_future()
        try:
            server, process = self._launch(lambda: ended.set_result(None))
        except OSError as error:
            return f"it cannot be started: {error.strerror or error}"
        loop.add_reader(server.sock, self._handle_answers, server)
        self._process = server
        try:
            problem = await run_unless(ended, self._keep_asking(server))
        finally:
            self._process = None
            exit_code = await self._dismiss(server, process)
        return problem or f"it ended with exit code {exit_code}"

    def _launch(self, on_exit: Callable[[], None]) -> tuple[ForkserverProcess, ChildProcess]:
        server = ForkserverProcess.launch(should_merge_pages=self._should_merge_pages)
        try:
            return server, ChildProcess(server.pid, on_exit)
        except OSError:
            server.kill()
            raise

    async def _dismiss(self, server: ForkserverProcess, process: ChildProcess) -> int | None:
        """Have it ended and reaped: nothing that it owns needs time to end."""
        process.send_signal(signal.SIGKILL)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_STOP_DEADLINE_S):
                await process.exited.wait()
        self._lose_all(server)
        server.close(process.exit_code)
        return process.exit_code

    async def _keep_asking(self, server: ForkserverProcess) -> str:
        """Returns what is wrong with it as soon as something is."""
        times = self._times
        self._answered.clear()
        try:
            async with asyncio.timeout(times.start_s):
                if not server.is_ready:
                    await self._answered.wait()
        except TimeoutError:
            return f"it was not ready after {times.start_s:g} s"
        # The first look is a fork: it proves that forking works. So is each one after a failed fork.
        wish = Wish.TRY
        while (answer := await self._look(server, wish)) is not None:
            if answer.errno:
                self._note_refusal(answer.errno)
            elif wish is Wish.TRY:
                self.problem = ""
            await self._enter(ForkserverState.READY)
            await asyncio.sleep(times.look_s)
            wish = Wish.TRY if self.problem else Wish.LOOK
        return f"it has not answered for {times.silence_s:g} s"

    async def _look(self, server: ForkserverProcess, wish: Wish) -> Answer | None:
        try:
            asked = self._ask(server, wish)
        except ForkserverLostError:
            return None
        # What came while we were held up ourselves counts too: `wait` looks again at the end.
        await asyncio.wait([asked], timeout=self._times.silence_s)
        return asked.result() if asked.done() else None

    def _lose_all(self, server: ForkserverProcess) -> None:
        """It answers no more, but what it has answered counts."""
        self._handle_answers(server)
        asyncio.get_running_loop().remove_reader(server.sock)
        asked, self._asked = self._asked, {}
        for one in asked.values():
            one.set_exception(ForkserverLostError("the forkserver went away during a start"))
            one.exception()  # Nobody may be waiting, and that is fine.


_DECIDED: Final = (ForkserverState.READY, ForkserverState.BACKOFF)


def _refusal(number: int) -> OSError:
    text = f"no process could be forked: {os.strerror(number)}"
    if number in _REMEDIES:
        text += f" ({_REMEDIES[number]})"
    return OSError(number, text)


def _hold(pid: int, sock: socket.socket, stacks: StackFile) -> StartedProcess:
    try:
        return StartedProcess(pid, sock, stacks)
    except ProcessLookupError as error:
        raise OSError(f"process {pid} ended at once") from error
    except OSError:
        # Ours until it is reaped, so the number cannot be another's.
        os.kill(pid, signal.SIGKILL)
        raise

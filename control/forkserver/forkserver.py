"""`Forkserver`: the server's side of the forkserver, which forks agent processes.

The forkserver is pinged periodically. One that exited or hangs is replaced, without a limit; starts
wait for the next one, and live agents are not affected (`control.forkserver.main`). A forkserver whose
app has changed serves until another one has loaded the new version.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import signal
import socket
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final, Protocol

from control.child.entry import DEFAULT_ENTRY
from control.child.stack_dump import StackFile
from control.forkserver.app_report import AppReport
from control.forkserver.app_source import AppSource
from control.forkserver.process import ForkserverProcess
from control.forkserver.protocol import Answer, RequestKind, fork_error
from control.forkserver.run import ForkserverLostError, ForkserverRun
from control.forkserver.started_process import ChildProcess, StartedProcess
from control.machine.prctl import adopt_orphans
from parley.load_problem import Problem
from utils import OwnedTasks, run_unless

# For processes of cancelled starts to be reaped.
_STOP_DEADLINE_S: Final = 6.0
_RETRY_S: Final = 0.02

_log = logging.getLogger("control.forkserver")


class ForkserverState(StrEnum):
    """State of the forkserver. SILENT: it did not answer the last ping in time."""

    OFF = "off"
    STARTING = "starting"
    READY = "ready"
    SILENT = "silent"
    BACKOFF = "backoff"


@dataclass(frozen=True)
class ForkserverTimes:
    """Times of supervision, in seconds.

    start_s: deadline for a forkserver to become ready, apart from the import of an app.
    ping_interval_s: pause between two pings.
    answer_s: deadline for an answer; without one the forkserver counts as hung.
    wait_s: longest wait of a start for a ready forkserver.
    first_pause_s, max_pause_s: backoff before a replacement; doubles from the first to the maximum.
    """

    start_s: float = 30.0
    ping_interval_s: float = 1.0
    answer_s: float = 4.0
    wait_s: float = 12.0
    first_pause_s: float = 0.25
    max_pause_s: float = 15.0


@dataclass(frozen=True)
class ForkserverStatistics:
    """Counts of a forkserver. restarts: replacements; refusals: failed forks by errno name."""

    restarts: int
    refusals: Mapping[str, int]


class LoadedApp(Protocol):
    """The app of a server, of which each new forkserver reports.

    problems: of the last report; empty after a good one.
    is_watched: the server reloads it when its files change.
    """

    source: AppSource
    is_watched: bool

    @property
    def problems(self) -> Sequence[Problem]: ...

    def take(self, report: AppReport) -> bool:
        """Take over what is reported, if it is right."""
        ...


class Forkserver:
    """`ProcessSource` that forks. Call `start` early: it takes most of a second."""

    def __init__(
        self,
        entry: str = DEFAULT_ENTRY,
        *,
        should_merge_pages: bool = False,
        times: ForkserverTimes | None = None,
        app: LoadedApp | None = None,
        sound_folders: Sequence[Path] = (),
    ) -> None:
        """
        Args:
            entry: `module:name` of the agent's class, from the server's own code only.
            should_merge_pages: have the kernel merge equal pages of its forks (KSM).
            times: of supervision.
            app: the owner's, which each forkserver loads.
            sound_folders: of sounds that each forkserver decodes.
        """
        self._sound_folders = sound_folders
        # Why there is no forkserver, or why the last fork failed; empty without a problem.
        self.problem = ""
        self._entry = entry
        self._should_merge_pages = should_merge_pages
        self._times = times or ForkserverTimes()
        self._app = app
        self._state = ForkserverState.OFF
        self._run: ForkserverRun | None = None
        # All that are not closed yet: at most the present one, one before it and one after it.
        self._runs: set[ForkserverRun] = set()
        # One that has loaded a new version of the app and takes the place of the present one.
        self._successor: ForkserverRun | None = None
        # Set to try at once in place of a pause.
        self._retry = asyncio.Event()
        self._restarts = 0
        self._refusals: Counter[str] = Counter()
        self._changed = asyncio.Condition()
        self._tasks = OwnedTasks(_log)
        self._supervising: asyncio.Task[None] | None = None
        # Reaping of processes whose start was cancelled.
        self._cancelled: set[asyncio.Future[None]] = set()

    # -- status ----------------------------------------------------------------------------------

    @property
    def state(self) -> ForkserverState:
        """Present state: SILENT as soon as an answer is overdue."""
        answered_s = self._run.answered_s if self._run else float("-inf")
        age_s = time.monotonic() - answered_s
        is_late = age_s > self._times.ping_interval_s + self._times.answer_s / 2
        is_ready = self._state is ForkserverState.READY
        return ForkserverState.SILENT if is_ready and is_late else self._state

    @property
    def pid(self) -> int | None:
        """Pid of the forkserver; None while there is none."""
        return self._run.pid if self._run else None

    @property
    def statistics(self) -> ForkserverStatistics:
        """Counts since the start."""
        return ForkserverStatistics(self._restarts, dict(self._refusals))

    # -- starting and stopping -------------------------------------------------------------------

    async def start(self) -> None:
        """Start the forkserver; return when a test fork has succeeded.

        Raises:
            OSError: it cannot be started, or did not become ready in time.
        """
        adopt_orphans()
        self._supervising = self._tasks.start(self._supervise(), name="forkserver")
        async with self._changed:
            await self._changed.wait_for(lambda: self._state in _STARTED_OR_FAILED)
        if self._state is not ForkserverState.READY or self.problem:
            raise OSError(f"the forkserver does not work: {self.problem}")

    async def settle(self) -> None:
        """Wait a while until the processes of cancelled starts have exited."""
        if self._cancelled:
            await asyncio.wait(self._cancelled, timeout=_STOP_DEADLINE_S)

    async def stop(self) -> None:
        """Kill and reap the forkserver. Call it after all agents have ended. Idempotent."""
        await self.settle()
        await self._tasks.close()
        for run in [*self._runs]:
            await self._close(run)
        self._state = ForkserverState.OFF

    # -- forking ---------------------------------------------------------------------------------

    async def start_process(self) -> StartedProcess:
        """Fork a process that waits for `link.Start` on its link.

        Raises:
            OSError: no process, descriptor or memory is left, or there is no forkserver.
        """
        deadline_s = time.monotonic() + self._times.wait_s
        while True:
            run = await self._wait_run(deadline_s)
            try:
                return await self._fork(run)
            except ForkserverLostError:
                if time.monotonic() >= deadline_s:
                    raise
                # A request to an exited forkserver fails at once; the event loop has to notice the exit.
                await asyncio.sleep(_RETRY_S)

    async def _wait_run(self, deadline_s: float) -> ForkserverRun:
        """Return the forkserver once it is ready."""
        try:
            async with asyncio.timeout(deadline_s - time.monotonic()), self._changed:
                await self._changed.wait_for(lambda: self._state is ForkserverState.READY)
        except TimeoutError as error:
            text = f"there is no forkserver now ({self._state} {self.problem}".strip() + ")"
            raise ForkserverLostError(text) from error
        assert self._run is not None
        return self._run

    async def _fork(self, run: ForkserverRun) -> StartedProcess:
        with contextlib.ExitStack() as on_failure:
            ours, theirs = socket.socketpair()
            on_failure.enter_context(ours)
            with theirs:
                stacks = StackFile.create()
                on_failure.callback(stacks.close)
                # Reserves a descriptor for the pidfd: a forked process must not be lost for want of one.
                spare = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
                on_spare = on_failure.enter_context(contextlib.ExitStack())
                on_spare.callback(os.close, spare)
                descriptors = theirs.fileno(), stacks.fileno()
                answer = run.send_request(RequestKind.FORK, self._entry, descriptors)
            pid = await self._wait_pid(answer)
            on_spare.close()
            process = _track(pid, ours, stacks)
            on_failure.pop_all()
        return process

    async def _wait_pid(self, pending: asyncio.Future[Answer]) -> int:
        """Return the pid of the forked process."""
        try:
            answer = await asyncio.shield(pending)
        except asyncio.CancelledError:
            # The process exits when its link is closed, and must be reaped.
            reaping = self._tasks.start(self._reap(pending), name="cancelled agent process")
            self._cancelled.add(reaping)
            reaping.add_done_callback(self._cancelled.discard)
            raise
        if answer.errno:
            self._refusals[errno.errorcode.get(answer.errno, str(answer.errno))] += 1
            raise self._note_refusal(answer.errno)
        self.problem = ""
        return answer.pid

    def _note_refusal(self, number: int) -> OSError:
        refused = fork_error(number)
        self.problem = str(refused.strerror)
        return refused

    async def _reap(self, pending: asyncio.Future[Answer]) -> None:
        try:
            answer = await pending
        except ForkserverLostError:
            return
        if answer.pid:
            await ChildProcess(answer.pid).exited.wait()

    # -- supervising -----------------------------------------------------------------------------

    async def _enter(self, state: ForkserverState) -> None:
        async with self._changed:
            self._state = state
            self._changed.notify_all()

    async def _supervise(self) -> None:
        pause_s = self._times.first_pause_s
        while True:
            began_s = time.monotonic()
            try:
                self.problem = await self._run_once()
            except Exception as error:  # noqa: BLE001 - a defect here must not end supervision
                _log.exception("supervision of the forkserver failed")
                self.problem = f"{type(error).__name__}: {error}"
            if self._successor is not None:
                continue
            is_long_lived = time.monotonic() - began_s > 4 * self._times.max_pause_s
            pause_s = self._times.first_pause_s if is_long_lived else pause_s
            await self._pause(pause_s)
            pause_s = min(self._times.max_pause_s, 2 * pause_s)
            self._restarts += 1

    async def _pause(self, pause_s: float) -> None:
        """Wait before a replacement; for a broken app that is watched, until it changes."""
        self._retry.clear()
        is_watched = self._app is not None and self._app.is_watched and bool(self._app.problems)
        text = "when the app changes" if is_watched else f"in {pause_s:g} s"
        _log.error("forkserver lost: %s; restart %s", self.problem, text)
        await self._enter(ForkserverState.BACKOFF)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(None if is_watched else pause_s):
                await self._retry.wait()

    async def _run_once(self) -> str:
        """Run one forkserver from its start to its reaping; return why it ended."""
        run, self._successor = self._successor, None
        if run is None:
            await self._enter(ForkserverState.STARTING)
            try:
                run = self._open()
            except OSError as error:
                return f"cannot start: {error.strerror or error}"
        self._run = run
        try:
            problem = await self._wait_ready(run)
            problem = problem or await run_unless(run.ended, self._monitor(run)) or ""
            if self._successor is not None:
                await run.settle(self._times.answer_s)
        finally:
            if self._run is run:
                self._run = None
            await self._close(run)
        return problem or run.end

    def _open(self) -> ForkserverRun:
        run = self._launch()
        self._runs.add(run)
        return run

    async def _close(self, run: ForkserverRun) -> None:
        await run.close()
        # Not before: a cancelled close is finished by `stop`.
        self._runs.discard(run)

    def _launch(self) -> ForkserverRun:
        source = self._app.source if self._app else None
        process = ForkserverProcess.launch(
            should_merge_pages=self._should_merge_pages,
            app=source,
            sound_folders=self._sound_folders,
        )
        try:
            return ForkserverRun(process)
        except OSError:
            process.kill()
            raise

    async def _wait_ready(self, run: ForkserverRun) -> str:
        """Wait until it can fork, and its app is taken; return what is wrong, or an empty text."""
        app = self._app
        problem = await run.wait_ready(self._times.start_s + (app.source.load_s if app else 0))
        if app is None or run.is_accepted:
            return problem
        report = run.report()
        if report is None or (problem and not report.problems):
            text = f"{app.source.name}: {problem or 'its forkserver does not describe it'}"
            report = AppReport(problems=(Problem(text=text),))
        run.is_accepted = app.take(report)
        return "" if run.is_accepted else str(app.problems[0])

    async def _monitor(self, run: ForkserverRun) -> str:
        """Ping until something is wrong; return what it is."""
        times = self._times
        # The first check is a test fork, and so is each one after a failed fork.
        kind = RequestKind.TEST_FORK
        while (answer := await run.check(kind, times.answer_s)) is not None:
            if answer.errno:
                self._note_refusal(answer.errno)
            elif kind is RequestKind.TEST_FORK:
                self.problem = ""
            await self._enter(ForkserverState.READY)
            await asyncio.sleep(times.ping_interval_s)
            kind = RequestKind.TEST_FORK if self.problem else RequestKind.PING
        return f"no answer for {times.answer_s:g} s"

    # -- reloading -------------------------------------------------------------------------------

    async def reload(self) -> bool:
        """Load the app again, in a second forkserver. If that succeeds, it takes the place of the
        first one, and true is returned; otherwise nothing changes. Live agents are not affected.
        """
        async with self._changed:
            await self._changed.wait_for(lambda: self._state in _STARTED_OR_FAILED)
        if self._state is not ForkserverState.READY:
            self._retry.set()
            return False
        try:
            candidate = self._open()
        except OSError as error:
            _log.error("cannot reload the app: %s", error.strerror or error)
            return False
        try:
            problem = await self._wait_ready(candidate)
        except BaseException:
            await self._close(candidate)
            raise
        if problem:
            await self._close(candidate)
            return False
        self._replace(candidate)
        return True

    def _replace(self, candidate: ForkserverRun) -> None:
        """Let the candidate take over in this step of the loop: no start meets the old version."""
        before, self._run, self._successor = self._run, candidate, candidate
        if before is None:
            self._retry.set()
        else:
            before.retire()


_STARTED_OR_FAILED: Final = (ForkserverState.READY, ForkserverState.BACKOFF)


def _track(pid: int, sock: socket.socket, stacks: StackFile) -> StartedProcess:
    try:
        return StartedProcess(pid, sock, stacks)
    except ProcessLookupError as error:
        raise OSError(f"process {pid} exited at once") from error
    except OSError:
        # A child that has not been reaped, so its pid cannot be reused.
        os.kill(pid, signal.SIGKILL)
        raise

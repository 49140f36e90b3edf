"""`LoopbackServer`: an HTTP server on loopback as a supervised child process that all agents share."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Final

import aiohttp

from control.child.environment import child_environment
from control.supervisor.restart import RestartBudget, RestartPolicy
from conversation.lifecycle import AgentStartError
from logs import forward_line
from utils import OwnedTasks, cancel_and_wait

_log = logging.getLogger("control.loopback_server")

_ROOT: Final = Path(__file__).resolve().parents[2]
_HEALTH_TIMEOUT_S: Final = 5.0
_HEALTH_INTERVAL_S: Final = 0.1
# Health checks after it was ready; this many failures in a row count as a hang.
_CHECK_INTERVAL_S: Final = 1.0
_MAX_FAILED_CHECKS: Final = 3
# Beyond the interval: an older answer is no proof of the present state.
_MAX_ANSWER_AGE_S: Final = 3.0
# SIGTERM, then SIGKILL: the child has at most this long for each.
_TERMINATE_S: Final = 4.0
_KILL_S: Final = 15.0
# For log lines that are still in the pipe when the child has exited.
_STDERR_DRAIN_S: Final = 1.0
_MAX_STDERR_LINE_BYTES: Final = 64 * 1024

DEFAULT_POLICY: Final = RestartPolicy()


class ServerState(StrEnum):
    """State of a supervised server. SILENT: no recent answer to health checks. FAILED: the restart budget
    is spent; the next start follows when the budget's window has passed.
    """

    OFF = "off"
    STARTING = "starting"
    READY = "ready"
    SILENT = "silent"
    BACKOFF = "backoff"
    FAILED = "failed"


class LoopbackServer:
    """Keep a server running from `start` to `stop`. It answers `GET /healthz` with 200 when it is ready.

    This process owns the listening socket and keeps it open, so that its port survives the child: a
    connection made while the child restarts waits in the backlog instead of being refused.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        port: int = 0,
        stdin: bytes = b"",
        policy: RestartPolicy = DEFAULT_POLICY,
    ) -> None:
        """
        Args:
            name: of the server, in logs and errors.
            command: the child's command line; `{fd}` is replaced by the number of the listening socket.
            port: loopback port; 0: any free one.
            stdin: what each child reads from its standard input.
            policy: of restarts.

        Raises:
            OSError: the port is taken.
        """
        self._socket = socket.create_server(("127.0.0.1", port), backlog=256)
        self.uri = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self.name = name
        self.problem = ""
        self._command = [part.format(fd=self._socket.fileno()) for part in command]
        self._stdin = stdin
        self._policy = policy
        self._budget = RestartBudget(policy)
        # Monotonic time at which the restart budget was spent.
        self._failed_at_s = float("-inf")
        # Monotonic time of the last successful health check.
        self._answered_s = float("-inf")
        # Set by `start` to end the wait in FAILED early.
        self._needed = asyncio.Event()
        self._process: asyncio.subprocess.Process | None = None
        # Explanation of a SIGKILL after failed health checks.
        self._hang_problem = ""
        self._state = ServerState.OFF
        # Notified after every change of the state.
        self._changed = asyncio.Condition()
        self._supervising: asyncio.Task[None] | None = None
        self._tasks = OwnedTasks(_log)

    @property
    def state(self) -> ServerState:
        """Present state: READY only while there is a process that answers."""
        process = self._process
        if self._state is not ServerState.READY:
            return self._state
        if process is None or process.returncode is not None:
            return ServerState.BACKOFF
        is_fresh = time.monotonic() - self._answered_s < _CHECK_INTERVAL_S + _MAX_ANSWER_AGE_S
        return ServerState.READY if is_fresh else ServerState.SILENT

    @property
    def pid(self) -> int | None:
        """Pid of the child; None while there is none."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Start it, unless it is running or failed within the restart window. Idempotent."""
        if self._state is ServerState.OFF:
            self._state = ServerState.STARTING
            self._supervising = self._tasks.start(self._supervise(), name=self.name)
        is_budget_free = time.monotonic() - self._failed_at_s >= self._policy.window_s
        if self._state is ServerState.FAILED and is_budget_free:
            self._state = ServerState.STARTING
            self._needed.set()

    async def wait_ready(self, deadline_s: float) -> None:
        """Start it if necessary; return when it is ready.

        Raises:
            AgentStartError: phase `model`; not ready within the deadline, or failed for good.
        """
        self.start()
        try:
            async with asyncio.timeout(deadline_s), self._changed:
                await self._changed.wait_for(
                    lambda: self.state in (ServerState.READY, ServerState.FAILED)
                )
        except TimeoutError as error:
            text = f"the {self.name} is {self.state} {self.problem}".strip()
            raise AgentStartError("model", "model_timeout", text) from error
        if self._state is ServerState.FAILED:
            raise AgentStartError("model", "model_failed", self.problem)

    async def stop(self) -> None:
        """Stop the child with SIGTERM, then SIGKILL; frees the port. Idempotent."""
        if self._supervising is not None:
            await cancel_and_wait(self._supervising)
        # Afterwards, so that the child's log is read to its end.
        await self._tasks.close()
        self._state = ServerState.OFF
        self.release()

    def release(self) -> None:
        """Free the port, which `stop` does too. Idempotent."""
        self._socket.close()

    def kill(self) -> None:
        """Send SIGKILL to the child without waiting for its exit."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()

    # -- supervising -----------------------------------------------------------------------------

    async def _enter(self, state: ServerState) -> None:
        async with self._changed:
            if state is not self._state:
                _log.info("%s %s -> %s", self.name, self._state, state)
            self._state = state
            self._changed.notify_all()

    async def _supervise(self) -> None:
        while True:
            await self._enter(ServerState.STARTING)
            try:
                await self._run_once()
            except Exception as error:  # noqa: BLE001 - a defect here must not end supervision
                self.problem = f"supervision failed: {type(error).__name__}"
                _log.error("%s: %s", self.name, self.problem, exc_info=error)
            delay_s = self._budget.next_delay_s(time.monotonic())
            if delay_s is None:
                _log.error("%s: no restart within the budget: %s", self.name, self.problem)
                self._failed_at_s = time.monotonic()
                await self._enter(ServerState.FAILED)
                await self._wait_restart_window()
                continue
            _log.warning("%s: %s; restart in %g s", self.name, self.problem, delay_s)
            await self._enter(ServerState.BACKOFF)
            await asyncio.sleep(delay_s)

    async def _wait_restart_window(self) -> None:
        """Wait until the window has passed or `start` is called, whichever comes first."""
        self._needed.clear()
        try:
            async with asyncio.timeout(self._policy.window_s):
                await self._needed.wait()
        except TimeoutError:
            return

    async def _run_once(self) -> None:
        """Run one child from its start to its reaping, also on cancellation."""
        try:
            process = await self._spawn()
        except OSError as error:
            self.problem = f"cannot start: {error}"
            return
        self._process, self._hang_problem = process, ""
        stderr_reader = self._tasks.start(
            self._forward_stderr(process), name=f"{self.name}: stderr"
        )
        health = self._tasks.start(
            self._check_health_repeatedly(process), name=f"{self.name}: health"
        )
        writer = self._tasks.start(_write_stdin(process, self._stdin), name=f"{self.name}: stdin")
        try:
            await process.wait()
        finally:
            health.cancel()
            writer.cancel()
            await _end(process)
            self._process = None
        await asyncio.wait([stderr_reader], timeout=_STDERR_DRAIN_S)
        self.problem = (
            self._hang_problem
            or _signal_of(process.returncode)
            or _result_of(stderr_reader)
            or f"exit code {process.returncode}"
        )

    async def _spawn(self) -> asyncio.subprocess.Process:
        # A session of its own: a terminal's Ctrl-C reaches only the server, which stops the child.
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "control.machine.prctl", str(os.getpid()), *self._command),
            stdin=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=_MAX_STDERR_LINE_BYTES,
            env=child_environment(os.environ),
            cwd=_ROOT,
            pass_fds=[self._socket.fileno()],
            start_new_session=True,
        )

    async def _forward_stderr(self, process: asyncio.subprocess.Process) -> str:
        """Forward the child's log to the server's; return the last line, which explains its exit."""
        assert process.stderr is not None
        last = ""
        while not process.stderr.at_eof():
            try:
                line = (await process.stderr.readline()).decode(errors="replace")
            except ValueError:
                continue  # A line over the limit: its rest is read as the next ones.
            if line:
                try:
                    last = forward_line(line) or last
                except Exception as error:  # noqa: BLE001 - one bad line must not end the reader
                    _log.warning(
                        "cannot forward a log line of the %s: %s", self.name, type(error).__name__
                    )
        return last[:500]

    async def _check_health_repeatedly(self, process: asyncio.subprocess.Process) -> None:
        """Run the health checks, and again after an unexpected failure of theirs."""
        while True:
            try:
                await self._check_health(process)
            except Exception as error:  # noqa: BLE001 - a hang would go unnoticed
                _log.error(
                    "health checks of the %s failed: %s",
                    self.name,
                    type(error).__name__,
                    exc_info=error,
                )
                await asyncio.sleep(_CHECK_INTERVAL_S)
            else:
                return

    async def _check_health(self, process: asyncio.subprocess.Process) -> None:
        """Poll until the child is ready, then check periodically and kill it when it hangs."""
        url = f"{self.uri}/healthz"
        timeout = aiohttp.ClientTimeout(total=_HEALTH_TIMEOUT_S)
        async with aiohttp.ClientSession(timeout=timeout) as http:
            while True:
                if await _is_healthy(http, url):
                    break
                # Models load for seconds: until then refused connections are normal.
                await asyncio.sleep(_HEALTH_INTERVAL_S)
            self.problem = ""
            failures = 0
            while failures < _MAX_FAILED_CHECKS:
                if failures == 0:
                    self._answered_s = time.monotonic()
                    await self._enter(ServerState.READY)
                await asyncio.sleep(_CHECK_INTERVAL_S)
                failures = 0 if await _is_healthy(http, url) else failures + 1
        self._hang_problem = f"no answer to {failures} health checks in a row"
        if process.returncode is None:
            process.kill()


async def _write_stdin(process: asyncio.subprocess.Process, data: bytes) -> None:
    """Write what the child shall read; one that exits without reading them says why on its own."""
    assert process.stdin is not None
    with contextlib.suppress(ConnectionError):
        process.stdin.write(data)
        await process.stdin.drain()
    process.stdin.close()


async def _is_healthy(http: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with http.get(url) as response:
            return response.status == 200
    except (aiohttp.ClientError, OSError, ValueError):
        return False


def _signal_of(exit_code: int | None) -> str:
    """Return how a signal ended the process; empty: none did, and its last words explain more."""
    if exit_code is None or exit_code >= 0:
        return ""
    return f"ended by {signal.strsignal(-exit_code) or 'a signal'}"


def _result_of(reader: asyncio.Task[str]) -> str:
    if not reader.done() or reader.cancelled() or reader.exception() is not None:
        return ""
    return reader.result()


async def _end(process: asyncio.subprocess.Process) -> None:
    """Send SIGTERM, then SIGKILL; return when it is reaped, or after the last deadline."""
    for end, deadline_s in ((process.terminate, _TERMINATE_S), (process.kill, _KILL_S)):
        if process.returncode is not None:
            return
        end()
        try:
            async with asyncio.timeout(deadline_s):
                await process.wait()
        except TimeoutError:
            continue

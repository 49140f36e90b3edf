"""The local model as a supervised child of the server: one process that all agents share."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys
import time
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Final

import aiohttp

from control.placement import AgentStartError
from control.processes.environment import child_environment
from control.supervision.restart import RestartBudget, RestartPolicy
from logs import forward_line
from utils import OwnedTasks, cancel_and_wait

_log = logging.getLogger("control.model")

_ROOT: Final = Path(__file__).resolve().parents[2]
_HEALTH_TIMEOUT_S: Final = 5.0
_HEALTH_INTERVAL_S: Final = 0.1
# Once it was ready: so often it is asked, and so many silences in a row mean that it hangs.
_CHECK_INTERVAL_S: Final = 1.0
_MAX_SILENCES: Final = 3
_FRESH_ANSWER_S: Final = 3.0
"""An older answer says nothing of now."""
_TERMINATE_S: Final = 4.0
_KILL_S: Final = 5.0
_LAST_WORDS_S: Final = 1.0
_MAX_STDERR_LINE_BYTES: Final = 64 * 1024

DEFAULT_COMMAND: Final[Sequence[str]] = (sys.executable, "-m", "main", "model", "--fd", "{fd}")
DEFAULT_POLICY: Final = RestartPolicy()


class ModelState(StrEnum):
    """Where the local model is. SILENT: it has not answered for a while. FAILED: the restart budget is
    spent; it is tried again once the budget is free again.
    """

    OFF = "off"
    STARTING = "starting"
    READY = "ready"
    SILENT = "silent"
    BACKOFF = "backoff"
    FAILED = "failed"


class ModelServer:
    """Keeps the local model running from `start` to `stop`.

    The listening socket is ours and stays open, so that its port survives the child: a connection
    made while the child restarts waits in the backlog instead of being refused.
    """

    def __init__(
        self,
        port: int = 0,
        *,
        command: Sequence[str] | None = None,
        policy: RestartPolicy = DEFAULT_POLICY,
    ) -> None:
        """command: the child's command line (None: `DEFAULT_COMMAND`), `{fd}` stands for the listening
            socket's number.

        Raises:
            OSError: the port is taken.
        """
        self._socket = socket.create_server(("127.0.0.1", port), backlog=256)
        self.uri = f"ws://127.0.0.1:{self._socket.getsockname()[1]}"
        self.problem = ""
        self._command = [
            part.format(fd=self._socket.fileno()) for part in command or DEFAULT_COMMAND
        ]
        self._policy = policy
        self._budget = RestartBudget(policy)
        self._failed_at_s = float("-inf")
        self._answered_s = float("-inf")
        self._needed = asyncio.Event()
        self._process: asyncio.subprocess.Process | None = None
        # Why we ended a child that ran.
        self._hang = ""
        self._state = ModelState.OFF
        self._changed = asyncio.Condition()
        self._supervising: asyncio.Task[None] | None = None
        self._tasks = OwnedTasks(_log)

    @property
    def state(self) -> ModelState:
        """Where the model is now: ready only while there is a process that answers."""
        process = self._process
        if self._state is not ModelState.READY:
            return self._state
        if process is None or process.returncode is not None:
            return ModelState.BACKOFF
        is_fresh = time.monotonic() - self._answered_s < _CHECK_INTERVAL_S + _FRESH_ANSWER_S
        return ModelState.READY if is_fresh else ModelState.SILENT

    @property
    def pid(self) -> int | None:
        """Of the child; None while there is none."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Start it, unless it was started before, or failed not long ago."""
        if self._state is ModelState.OFF:
            self._state = ModelState.STARTING
            self._supervising = self._tasks.start(self._supervise(), name="local model")
        is_forgiven = time.monotonic() - self._failed_at_s >= self._policy.window_s
        if self._state is ModelState.FAILED and is_forgiven:
            self._state = ModelState.STARTING
            self._needed.set()

    async def wait_ready(self, deadline_s: float) -> None:
        """Start it if need be; return when it is ready.

        Raises:
            AgentStartError: phase `model`; it is not ready in time, or will never be.
        """
        self.start()
        try:
            async with asyncio.timeout(deadline_s), self._changed:
                await self._changed.wait_for(
                    lambda: self.state in (ModelState.READY, ModelState.FAILED)
                )
        except TimeoutError as error:
            text = f"the local model is {self.state} {self.problem}".strip()
            raise AgentStartError("model", "model_timeout", text) from error
        if self._state is ModelState.FAILED:
            raise AgentStartError("model", "model_failed", self.problem)

    async def stop(self) -> None:
        """End the child, politely, then surely; frees the port. Idempotent."""
        if self._supervising is not None:
            await cancel_and_wait(self._supervising)
        # Only now: the child's log is read to its end.
        await self._tasks.close()
        self._state = ModelState.OFF
        self._socket.close()

    def kill(self) -> None:
        """SIGKILL the child at once, without waiting."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()

    # -- supervising -----------------------------------------------------------------------------

    async def _enter(self, state: ModelState) -> None:
        async with self._changed:
            if state is not self._state:
                _log.info("local model %s -> %s", self._state, state)
            self._state = state
            self._changed.notify_all()

    async def _supervise(self) -> None:
        while True:
            await self._enter(ModelState.STARTING)
            try:
                await self._run_once()
            except Exception as error:  # noqa: BLE001 - whatever it is, the next one is started
                self.problem = f"cannot be looked after: {type(error).__name__}"
                _log.error("the local model: %s", self.problem, exc_info=error)
            delay_s = self._budget.next_delay_s(time.monotonic())
            if delay_s is None:
                _log.error("the local model is given up: %s", self.problem)
                self._failed_at_s = time.monotonic()
                await self._enter(ModelState.FAILED)
                await self._wait_forgiven()
                continue
            _log.warning("local model: %s; again in %g s", self.problem, delay_s)
            await self._enter(ModelState.BACKOFF)
            await asyncio.sleep(delay_s)

    async def _wait_forgiven(self) -> None:
        """Also when nobody needs it: while it is not ready, nobody may ask."""
        self._needed.clear()
        try:
            async with asyncio.timeout(self._policy.window_s):
                await self._needed.wait()
        except TimeoutError:
            return

    async def _run_once(self) -> None:
        """One child from its start to its reaping, also when we are cancelled."""
        try:
            process = await self._spawn()
        except OSError as error:
            self.problem = f"cannot start: {error}"
            return
        self._process, self._hang = process, ""
        last_words = self._tasks.start(self._forward_stderr(process), name="model stderr")
        readiness = self._tasks.start(self._keep_watching(process), name="model health")
        try:
            await process.wait()
        finally:
            readiness.cancel()
            await _end(process)
            self._process = None
        await asyncio.wait([last_words], timeout=_LAST_WORDS_S)
        self.problem = (
            self._hang or _result_of(last_words) or f"it ended with exit code {process.returncode}"
        )

    async def _spawn(self) -> asyncio.subprocess.Process:
        # A session of its own: a terminal's Ctrl-C reaches the server only, which ends us in order.
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "control.processes.leash", str(os.getpid()), *self._command),
            stdin=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            limit=_MAX_STDERR_LINE_BYTES,
            env=child_environment(os.environ),
            cwd=_ROOT,
            pass_fds=[self._socket.fileno()],
            start_new_session=True,
        )

    async def _forward_stderr(self, process: asyncio.subprocess.Process) -> str:
        """Pass its log on to ours; returns the last line, which says why it ended."""
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
                except Exception as error:  # noqa: BLE001 - a line is lost, never what reads them
                    _log.warning("a line of the local model is lost: %s", type(error).__name__)
        return last[:500]

    async def _keep_watching(self, process: asyncio.subprocess.Process) -> None:
        """Whatever fails in looking, it is looked again."""
        while True:
            try:
                await self._watch_health(process)
            except Exception as error:  # noqa: BLE001 - nobody else would look
                _log.error("the local model's health: %s", type(error).__name__, exc_info=error)
                await asyncio.sleep(_CHECK_INTERVAL_S)
            else:
                return

    async def _watch_health(self, process: asyncio.subprocess.Process) -> None:
        """Ask until it says that it is ready, and from then on whether it still lives."""
        url = f"http{self.uri.removeprefix('ws')}/healthz"
        timeout = aiohttp.ClientTimeout(total=_HEALTH_TIMEOUT_S)
        async with aiohttp.ClientSession(timeout=timeout) as http:
            while True:
                if await _is_healthy(http, url):
                    break
                # It loads for seconds: refusals mean nothing yet.
                await asyncio.sleep(_HEALTH_INTERVAL_S)
            self.problem = ""
            silences = 0
            while silences < _MAX_SILENCES:
                if silences == 0:
                    self._answered_s = time.monotonic()
                    await self._enter(ModelState.READY)
                await asyncio.sleep(_CHECK_INTERVAL_S)
                silences = 0 if await _is_healthy(http, url) else silences + 1
        self._hang = f"it did not answer {silences} times in a row"
        if process.returncode is None:
            process.kill()


async def _is_healthy(http: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with http.get(url) as response:
            return response.status == 200
    except (aiohttp.ClientError, OSError, ValueError):
        return False


def _result_of(last_words: asyncio.Task[str]) -> str:
    if not last_words.done() or last_words.cancelled() or last_words.exception() is not None:
        return ""
    return last_words.result()


async def _end(process: asyncio.subprocess.Process) -> None:
    """SIGTERM, then SIGKILL; returns when it is reaped, or the kernel does not let it go."""
    for end, deadline_s in ((process.terminate, _TERMINATE_S), (process.kill, _KILL_S)):
        if process.returncode is not None:
            return
        end()
        try:
            async with asyncio.timeout(deadline_s):
                await process.wait()
        except TimeoutError:
            continue

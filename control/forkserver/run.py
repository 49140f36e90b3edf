"""`ForkserverRun`: one forkserver process on the server's loop, from its launch to its reaping."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import signal
import time
from typing import Final

from pydantic import ValidationError

from control.forkserver.app_report import AppReport
from control.forkserver.process import ForkserverProcess
from control.forkserver.protocol import (
    READY_NUMBER,
    Answer,
    Part,
    PartKind,
    Request,
    RequestKind,
)
from control.forkserver.started_process import ChildProcess
from parley.load_problem import Problem
from utils import run_unless

# For a killed forkserver to be reaped.
_STOP_DEADLINE_S: Final = 6.0

_log = logging.getLogger("control.forkserver")
_app_log = logging.getLogger("app")


class ForkserverLostError(OSError):
    """The forkserver exited before it answered, or there is none now."""


class ForkserverRun:
    """Requests to one forkserver process, and their answers."""

    def __init__(self, process: ForkserverProcess) -> None:
        """
        Raises:
            OSError: no descriptor is left.
        """
        self.answered_s = float("-inf")
        # True once the server has taken over the app that it has loaded.
        self.is_accepted = False
        # Done when it has exited or was retired.
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._process = process
        self._child = ChildProcess(process.pid, self.retire)
        # Set by any answer, `READY` included.
        self._answered = asyncio.Event()
        self._numbers = itertools.count(READY_NUMBER + 1)
        self._pending: dict[int, asyncio.Future[Answer]] = {}
        asyncio.get_running_loop().add_reader(process.sock, self._handle_answers)

    def retire(self) -> None:
        """Count it as ended: it exited, or another one takes its place."""
        if not self.ended.done():
            self.ended.set_result(None)

    @property
    def pid(self) -> int:
        """Pid of the forkserver."""
        return self._process.pid

    @property
    def end(self) -> str:
        """The reason of its end, once it has been reaped."""
        return f"exit code {self._child.exit_code}"

    async def wait_ready(self, deadline_s: float) -> str:
        """Wait until it can fork; return why it cannot, or an empty text."""
        try:
            async with asyncio.timeout(deadline_s):
                if not self._process.is_ready:
                    await run_unless(self.ended, self._answered.wait())
        except TimeoutError:
            return f"not ready after {deadline_s:g} s"
        self._handle_answers()
        return "" if self._process.is_ready else "it ended while it was starting"

    def report(self) -> AppReport | None:
        """Return what it has reported about its app, if it has."""
        if not self._process.report:
            return None
        try:
            return AppReport.model_validate_json(bytes(self._process.report))
        except ValidationError as error:
            text = f"its description is not understood: {error.error_count()} values are wrong"
            return AppReport(problems=(Problem(text=text),))

    # -- requests --------------------------------------------------------------------------------

    def send_request(
        self, kind: RequestKind, entry: str = "", descriptors: tuple[int, ...] = ()
    ) -> asyncio.Future[Answer]:
        """Return a future of the answer; it fails with ForkserverLostError if the forkserver exits.

        Raises:
            ForkserverLostError: the request cannot be sent.
        """
        number = next(self._numbers)
        try:
            self._process.send(Request(number, kind, entry, descriptors))
        except (BlockingIOError, ConnectionError) as error:
            raise ForkserverLostError("the forkserver takes no requests") from error
        pending: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._pending[number] = pending
        return pending

    async def check(self, kind: RequestKind, deadline_s: float) -> Answer | None:
        """Return the answer; None without one in time."""
        try:
            pending = self.send_request(kind)
        except ForkserverLostError:
            return None
        # `wait` checks again after its timeout, so an answer that came while this loop was stalled counts.
        await asyncio.wait([pending], timeout=deadline_s)
        return pending.result() if pending.done() else None

    def _handle_answers(self) -> None:
        """Take all answers that have arrived."""
        try:
            while (answer := self._process.receive()) is not None:
                self._handle_answer(answer)
        except BlockingIOError:
            return
        except ConnectionError:
            pass  # It exited with requests unread.
        except OSError as error:
            _log.warning("cannot read answers of the forkserver: %s", error)
        # End of the stream. The exit itself is noticed through the pidfd.
        asyncio.get_running_loop().remove_reader(self._process.sock)

    def _handle_answer(self, answer: Answer | Part) -> None:
        if isinstance(answer, Part):
            if answer.kind is PartKind.REPORT:
                self._process.add_report(answer.data)
            else:
                _app_log.info("%s", answer.data.decode(errors="replace"))
            return
        self.answered_s = time.monotonic()
        self._answered.set()
        if answer.number == READY_NUMBER:
            self._process.is_ready = True
        elif (pending := self._pending.pop(answer.number, None)) is not None:
            pending.set_result(answer)

    # -- ending ----------------------------------------------------------------------------------

    async def settle(self, deadline_s: float) -> None:
        """Wait until all requests are answered: no process is lost that it has just forked."""
        if self._pending:
            await asyncio.wait(self._pending.values(), timeout=deadline_s)

    async def close(self) -> None:
        """Kill and reap it: it owns nothing that needs an orderly end."""
        self._child.send_signal(signal.SIGKILL)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_STOP_DEADLINE_S):
                await self._child.exited.wait()
        self._fail_pending()
        self._process.close(self._child.exit_code)

    def release(self) -> None:
        """Let go of the process without ending it."""
        self._fail_pending()
        self._child.release()

    def _fail_pending(self) -> None:
        """Take the answers that have arrived and fail all other requests."""
        self._handle_answers()
        asyncio.get_running_loop().remove_reader(self._process.sock)
        pending, self._pending = self._pending, {}
        for one in pending.values():
            one.set_exception(ForkserverLostError("the forkserver was lost during a start"))
            one.exception()  # Retrieved, so that asyncio does not log it without a waiter.

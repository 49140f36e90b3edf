"""The processes of callers: started on demand, ended together."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ValidationError

from load.protocol import NEWS, Begin, Connected, Dial, Failed, HangUp, Report
from utils import OwnedTasks

CALLERS_A_PROCESS: Final = 10
DIAL_TIMEOUT_S: Final = 30.0
_END_S: Final = 10.0
_MAX_LINE_BYTES: Final = 1024 * 1024
_ROOT: Final = Path(__file__).resolve().parents[1]

_log = logging.getLogger("load")


class _Worker:
    """One process and the numbers of its calls."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.numbers: set[int] = set()

    def tell(self, order: BaseModel) -> None:
        """Send an order; to a process that has ended, none."""
        assert self.process.stdin is not None
        if self.process.returncode is None and not self.process.stdin.is_closing():
            self.process.stdin.write(order.model_dump_json().encode() + b"\n")


class Workers:
    """Callers in processes of their own, `CALLERS_A_PROCESS` in each."""

    def __init__(
        self, server_url: str, utterances_file: Path, on_report: Callable[[Report], None]
    ) -> None:
        self._begin = Begin(server_url=server_url, utterances_file=str(utterances_file))
        self._on_report = on_report
        self._workers: list[_Worker] = []
        self._opening = asyncio.Lock()
        self._dialling: dict[int, asyncio.Future[Connected | Failed]] = {}
        self._tasks = OwnedTasks(_log)
        self._is_closing = False
        self.lost_processes = 0

    async def dial(self, number: int, channel: str, token: str | None) -> Connected | Failed:
        """Have a caller call; returns when media flows, or why it does not."""
        async with self._opening:
            worker = next((w for w in self._workers if len(w.numbers) < CALLERS_A_PROCESS), None)
            if worker is None:
                worker = await self._open()
            worker.numbers.add(number)
        answer: asyncio.Future[Connected | Failed] = asyncio.get_running_loop().create_future()
        self._dialling[number] = answer
        worker.tell(Dial(number=number, channel=channel, token=token))
        try:
            async with asyncio.timeout(DIAL_TIMEOUT_S):
                result = await answer
        except TimeoutError:
            result = Failed(number=number, reason="the process of callers does not answer")
        finally:
            self._dialling.pop(number, None)
        if isinstance(result, Failed):
            worker.numbers.discard(number)
        return result

    def hang_up(self, number: int) -> None:
        """End a call."""
        for worker in self._workers:
            if number in worker.numbers:
                worker.numbers.discard(number)
                worker.tell(HangUp(number=number))

    async def close(self) -> None:
        """End all processes: they hang up at the end of their input. Idempotent."""
        self._is_closing = True
        async with asyncio.TaskGroup() as group:
            for worker in list(self._workers):
                group.create_task(self._end(worker))
        await self._tasks.close()

    async def _open(self) -> _Worker:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "load.worker"),
            cwd=_ROOT,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=_MAX_LINE_BYTES,
        )
        worker = _Worker(process)
        self._workers.append(worker)
        worker.tell(self._begin)
        self._tasks.start(self._read(worker), name="callers")
        return worker

    async def _read(self, worker: _Worker) -> None:
        """Take what a process says, until it ends."""
        assert worker.process.stdout is not None
        while line := await worker.process.stdout.readline():
            try:
                news = NEWS.validate_json(line)
            except ValidationError:
                _log.warning("a process of callers says what is no news")
                continue
            if isinstance(news, Report):
                self._on_report(news)
            elif (answer := self._dialling.get(news.number)) is not None and not answer.done():
                answer.set_result(news)
        if not self._is_closing:
            self.lost_processes += 1
            _log.error("a process of %d callers ended", len(worker.numbers))
        self._workers.remove(worker)
        for number in worker.numbers & self._dialling.keys():
            answer = self._dialling[number]
            if not answer.done():
                answer.set_result(Failed(number=number, reason="the process of callers ended"))
        if not self._is_closing:
            await self._end(worker)

    async def _end(self, worker: _Worker) -> None:
        assert worker.process.stdin is not None
        worker.process.stdin.close()
        try:
            async with asyncio.timeout(_END_S):
                await worker.process.wait()
        except TimeoutError:
            worker.process.kill()
            await worker.process.wait()

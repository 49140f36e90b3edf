"""Calls made by the caller process, as the bench steers them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator
from typing import Any, Final

from bench.stand import ROOT, LoudFrames
from utils import cancel_and_wait

_DEADLINE_S: Final = 30.0


class CallerProcess:
    """The caller process. One command at a time."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._answers: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.calls: list[LoudFrames] = []

    async def call(self, url: str, **fields: Any) -> int:
        """Call, until media may flow; returns the number of the call.

        Raises:
            RuntimeError: the call failed, or the caller process is gone.
        """
        self.calls.append(LoudFrames())
        answer = await self._ask(call=url, fields=fields)
        return int(answer["connected"])

    async def burst(self, number: int) -> float:
        """Have a call send 20 ms of sound; returns when it was captured (monotonic seconds)."""
        return float((await self._ask(burst=number))["burst_at_s"])

    async def hang_up(self) -> None:
        """End all calls."""
        await self._ask(hang_up=True)
        self.calls.clear()

    async def read(self) -> None:
        """Take what the process writes, until it ends."""
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            news = json.loads(line)
            if "loud_at_s" not in news:
                self._answers.put_nowait(news)
            elif news["call"] < len(self.calls):
                await self.calls[news["call"]].add(news["loud_at_s"])
        self._answers.put_nowait({"failed": "the caller process has ended"})

    async def _ask(self, **command: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command).encode() + b"\n")
        async with asyncio.timeout(_DEADLINE_S):
            answer = await self._answers.get()
        if "failed" in answer:
            raise RuntimeError(answer["failed"])
        return answer


@contextlib.asynccontextmanager
async def caller_process() -> AsyncIterator[CallerProcess]:
    """Start it; at the end its calls are hung up and it ends."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.peers.caller"),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    caller = CallerProcess(process)
    reading = asyncio.get_running_loop().create_task(caller.read())
    try:
        yield caller
    finally:
        process.stdin.close()
        try:
            async with asyncio.timeout(_DEADLINE_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
        await cancel_and_wait(reading)

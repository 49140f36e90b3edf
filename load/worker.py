"""A process with several callers: `python -m load.worker`, orders on standard input, news on standard output.

It ends with its standard input, and hangs up; so it never outlives the load that started it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import aiohttp
from pydantic import BaseModel

from load.caller import CallFailedError, LoadCaller
from load.conversation import Utterance
from load.protocol import ORDERS, Begin, Connected, Dial, Failed, HangUp, Report
from load.sounds import read_utterances, silence
from logs import say
from utils import OwnedTasks

PTIME_S: Final = 0.020
_SLOTS: Final = 4
"""Callers are spread over the 20 ms, as independent ones are."""
_REPORT_S: Final = 1.0
_MAX_BEHIND_S: Final = 1.0
"""After a longer stall of this process the packets in between are left out, not sent in a burst."""
_MAX_LINE_BYTES: Final = 64 * 1024

_log = logging.getLogger("load.worker")


class Worker:
    """The callers of this process."""

    def __init__(
        self, begin: Begin, utterances: Sequence[Utterance], http: aiohttp.ClientSession
    ) -> None:
        self._server_url = begin.server_url
        self._utterances = utterances
        self._silence = silence()
        self._http = http
        self._callers: dict[int, LoadCaller] = {}
        self._tasks = OwnedTasks(_log)

    async def run(self, orders: asyncio.StreamReader) -> None:
        """Execute orders until their end, then hang up."""
        try:
            self._tasks.start(self._keep_sending(), name="packets")
            self._tasks.start(self._keep_reporting(), name="reports")
            while line := await orders.readline():
                match ORDERS.validate_json(line):
                    case Dial() as dial:
                        self._tasks.start(self._dial(dial), name=f"call {dial.number}")
                    case HangUp(number=number):
                        self._tasks.start(self._hang_up(number), name=f"end of call {number}")
                    case Begin():
                        raise ValueError("this process has begun")
        finally:
            await self._tasks.close()
            await asyncio.gather(*(caller.close() for caller in self._callers.values()))

    async def _dial(self, dial: Dial) -> None:
        began_s = time.monotonic()
        caller = LoadCaller(
            dial.number,
            self._utterances,
            self._silence,
            room_url=f"{self._server_url}/rooms/{dial.channel}",
        )
        try:
            await caller.connect(self._http, dial.token)
        except CallFailedError as error:
            await caller.close()
            _say(Failed(number=dial.number, reason=str(error)))
        except asyncio.CancelledError:
            await caller.close()
            raise
        else:
            self._callers[dial.number] = caller
            took_ms = round((time.monotonic() - began_s) * 1000, 1)
            _say(Connected(number=dial.number, took_ms=took_ms))

    async def _hang_up(self, number: int) -> None:
        if (caller := self._callers.pop(number, None)) is not None:
            await caller.close()

    async def _keep_sending(self) -> None:
        """Have each caller send every 20 ms, a quarter of them every 5 ms."""
        tick, first_s = 0, time.monotonic()
        while True:
            due_s = first_s + tick * PTIME_S / _SLOTS
            if (wait_s := due_s - time.monotonic()) > 0:
                await asyncio.sleep(wait_s)
            now_s = time.monotonic()
            for number, caller in self._callers.items():
                if number % _SLOTS == tick % _SLOTS:
                    caller.send(due_s, now_s)
            tick += 1
            if now_s - due_s > _MAX_BEHIND_S:
                tick += int((now_s - due_s) / PTIME_S) * _SLOTS

    async def _keep_reporting(self) -> None:
        last_s, last_cpu_s = time.monotonic(), time.process_time()
        while True:
            await asyncio.sleep(_REPORT_S)
            now_s, cpu_s = time.monotonic(), time.process_time()
            report = Report(
                pid=os.getpid(),
                cores=(cpu_s - last_cpu_s) / (now_s - last_s),
                calls=[caller.take() for caller in self._callers.values()],
            )
            last_s, last_cpu_s = now_s, cpu_s
            _say(report)


def _say(message: BaseModel) -> None:
    say(message.model_dump_json())


async def run() -> None:
    """Read the first line, then work."""
    reader = asyncio.StreamReader(_MAX_LINE_BYTES)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    begin = ORDERS.validate_json(await reader.readline())
    if not isinstance(begin, Begin):
        raise TypeError("the first line begins")
    utterances = read_utterances(Path(begin.utterances_file))
    async with aiohttp.ClientSession() as http:
        await Worker(begin, utterances, http).run(reader)


if __name__ == "__main__":
    # Ctrl-C reaches the whole process group; the load ends this process after it has stopped the agents.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    asyncio.run(run())

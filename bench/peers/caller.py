"""The caller of every peer, in a process of its own: `python -m bench.peers.caller`.

Standard input: JSON lines. `{"call": URL, "fields": {...}}` makes a call, with further fields of
the offer's body; `{"burst": N}` has call N send a burst of sound; `{"hang_up": true}` ends all
calls. Standard output: a JSON line for each of them, `{"connected": N}`, `{"burst_at_s": S}`,
`{"ended": COUNT}`, or `{"failed": TEXT}`; and `{"call": N, "loud_at_s": S}` for each loud packet that
arrives. Seconds are monotonic.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any, Final

import aiohttp

from bench.peers.rtp_call import PTIME_S, RtpCall
from tests.fakes.loopback_candidates import use_loopback_candidates
from utils import cancel_and_wait

_CONNECT_TIMEOUT_S: Final = 20.0


class Calls:
    """The calls of this process, numbered from 0 since the last hang-up."""

    def __init__(self, http: aiohttp.ClientSession) -> None:
        self._http = http
        self._calls: list[tuple[RtpCall, asyncio.Task[None]]] = []

    async def execute(self, command: dict[str, Any]) -> dict[str, Any]:
        """Do what a line asks for; returns its answer."""
        if "call" in command:
            return {"connected": await self._call(command["call"], command["fields"])}
        if "burst" in command:
            return {"burst_at_s": await self._calls[command["burst"]][0].send_burst()}
        return {"ended": await self.hang_up()}

    async def hang_up(self) -> int:
        """End all calls; returns how many there were."""
        calls, self._calls = self._calls, []
        for call, sending in calls:
            await cancel_and_wait(sending)
            await call.close()
        return len(calls)

    async def _call(self, url: str, fields: dict[str, Any]) -> int:
        number = len(self._calls)
        call = RtpCall(lambda at_s: _write({"call": number, "loud_at_s": at_s}))
        try:
            async with asyncio.timeout(_CONNECT_TIMEOUT_S):
                await call.connect(self._http, url, fields)
        except BaseException:
            await call.close()
            raise
        loop = asyncio.get_running_loop()
        # Each call at a moment of its own within a packet time, as independent callers are.
        first_s = loop.time() + number * 0.37 % 1 * PTIME_S
        self._calls.append((call, loop.create_task(call.send_packets(first_s))))
        return number


def _write(line: dict[str, Any]) -> None:
    print(json.dumps(line), flush=True)


async def run() -> None:
    """Execute commands until standard input ends."""
    use_loopback_candidates()
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async with aiohttp.ClientSession() as http:
        calls = Calls(http)
        try:
            while line := await reader.readline():
                try:
                    _write(await calls.execute(json.loads(line)))
                except (RuntimeError, TimeoutError, aiohttp.ClientError) as error:
                    _write({"failed": f"{type(error).__name__}: {error}"})
        finally:
            await calls.hang_up()


if __name__ == "__main__":
    asyncio.run(run())

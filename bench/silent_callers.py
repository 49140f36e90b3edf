"""Callers that send silence as packets, fifty a second, as a browser does for a microphone that picks
up nothing: real ICE, DTLS and SRTP, without discontinuous transmission.

`python -m bench.silent_callers SERVER_URL ROOM COUNT`: calls the agents in the rooms ROOM-0 and on,
prints a line when all are connected, and sends until its standard input ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from typing import Final

import aiohttp

from load.caller import dial
from load.sounds import silence
from load.worker import PTIME_S
from rtc.aiortc_hooks.bare_call import BareCall

_CONNECT_TIMEOUT_S: Final = 60.0


async def _send_silence(caller: BareCall, packet: bytes, first_s: float) -> None:
    """Send on a grid of exactly one packet time."""
    loop = asyncio.get_running_loop()
    due_s = first_s
    while not caller.is_lost:
        await asyncio.sleep(max(0.0, due_s - loop.time()))
        caller.send(packet)
        due_s += PTIME_S


async def run(server_url: str, room: str, count: int) -> None:
    """Call, and be silent until standard input ends."""
    callers = [BareCall(lambda *_: None) for _ in range(count)]
    loop = asyncio.get_running_loop()
    packet = silence()
    async with contextlib.AsyncExitStack() as stack:
        http = await stack.enter_async_context(aiohttp.ClientSession())
        for caller in callers:
            stack.push_async_callback(caller.close)
        async with asyncio.timeout(_CONNECT_TIMEOUT_S):
            for number, caller in enumerate(callers):
                await dial(caller, http, f"{server_url}/rooms/{room}-{number}")
        first_s = loop.time()
        # Each at a moment of its own within a packet time, as independent callers are.
        sending = [
            loop.create_task(_send_silence(caller, packet, first_s + number * PTIME_S / count))
            for number, caller in enumerate(callers)
        ]
        print("connected", flush=True)
        await loop.run_in_executor(None, sys.stdin.read)
        for task in sending:
            task.cancel()
        await asyncio.wait(sending)
        lost = sum(caller.is_lost for caller in callers)
    print(lost, flush=True)


if __name__ == "__main__":
    asyncio.run(run(sys.argv[1], sys.argv[2], int(sys.argv[3])))

"""Many callers in one process, as cheap as Python allows: real ICE, DTLS and SRTP, but packets that
were encoded once, and received ones of which only the header is read.

`python -m bench.crowd_callers SERVER_URL FIRST COUNT`: calls the agents in the rooms crowd-FIRST and
on, prints a line when all are connected, reads BEGIN_S and END_S (monotonic seconds), talks in turns
and measures between the two, and prints one JSON object with what it found.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import struct
import sys
import time
from dataclasses import asdict
from typing import Any, Final

import aiohttp
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.rtp import is_rtcp

from bench.lateness import Lateness
from bench.speech import RATE_HZ, talk
from rtc.aiortc_adapter import close_connection, prefer_opus
from rtc.opus import OpusEncoder

TURN_S: Final = 5.0
PTIME_S: Final = 0.020
_FRAME_BYTES: Final = RATE_HZ // 50 * 2
_SLOTS: Final = 4
_CLOCK_HZ: Final = 48_000
_HEADER: Final = struct.Struct("!BBHII")
_CONNECT_TIMEOUT_S: Final = 60.0


def is_users_turn(number: int, elapsed_s: float) -> bool:
    """Users and agents take turns; half of the users talk at any time."""
    return (int(elapsed_s / TURN_S) + number) % 2 == 0


def encoded_talk() -> tuple[list[bytes], bytes]:
    """One turn of speech as packets, and a packet of silence."""
    encoder = OpusEncoder(RATE_HZ, is_dtx=False)
    pcm = talk(TURN_S)
    packets = [
        encoder.encode(pcm[at : at + _FRAME_BYTES]) for at in range(0, len(pcm), _FRAME_BYTES)
    ]
    silence = [encoder.encode(bytes(_FRAME_BYTES)) for _ in range(5)][-1]
    return packets, silence


class _MuteTrack(MediaStreamTrack):
    """Keeps aiortc's sender waiting: packets are sent past it."""

    kind = "audio"

    async def recv(self) -> Any:
        await asyncio.Event().wait()


class CrowdCaller:
    """One caller: connects by aiortc, then sends and receives on the connection's own socket."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.is_lost = False
        self.heard = Lateness()
        self.sent = Lateness()
        self.connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._transceiver = self.connection.addTransceiver(_MuteTrack(), "sendrecv")
        prefer_opus(self._transceiver)
        self._dtls: Any = self._transceiver.receiver.transport
        self._inner: Any = self._dtls.transport._connection
        self._count = 0
        self._first_sequence = random.randrange(30_000)
        self._payload_type = 0
        # Of the packet received last, and the RTP time since the first one.
        self._last: tuple[int, int] | None = None
        self._ticks = 0
        self._is_measuring = False

    async def connect(self, http: aiohttp.ClientSession, server_url: str) -> None:
        """Call the agent of our room, until media flows."""
        connected = asyncio.Event()
        self.connection.on("connectionstatechange", connected.set)
        await self.connection.setLocalDescription(await self.connection.createOffer())
        offer = {"type": "offer", "sdp": self.connection.localDescription.sdp}
        url = f"{server_url}/rooms/crowd-{self.number}/call"
        async with http.post(url, json=offer) as response:
            body = await response.json()
            assert response.status == 200, body
        answer = RTCSessionDescription(body["sdp"], "answer")
        await self.connection.setRemoteDescription(answer)
        while self.connection.connectionState != "connected":
            connected.clear()
            await connected.wait()
        self._payload_type = int(self._transceiver._codecs[0].payloadType or 0)
        self._take_long_way = self._inner.data_received
        self._inner.data_received = self._receive

    def send(self, packet: bytes, due_s: float, now_s: float) -> None:
        """Send the next packet, which was due at `due_s`."""
        if (pair := self._inner._nominated.get(1)) is None:
            self.is_lost = True
            return
        number, self._count = self._count, self._count + 1
        header = _HEADER.pack(
            0x80,
            self._payload_type,
            (self._first_sequence + number) & 0xFFFF,
            number * 960,
            self._transceiver.sender._ssrc,
        )
        data = self._dtls._tx_srtp.protect(header + packet)
        pair.protocol.transport.sendto(data, pair.remote_addr)
        if self._is_measuring:
            self.sent.add(due_s, now_s)

    def measure(self) -> None:
        """From now on frames count."""
        self._is_measuring = True

    def stop(self) -> None:
        """Frames count no more."""
        self._is_measuring = False

    def _receive(self, data: bytes, component: int) -> None:
        if not 127 < data[0] < 192 or is_rtcp(data):
            self._take_long_way(data, component)
            return
        _, _, sequence, ticks, _ = _HEADER.unpack_from(data)
        last_sequence, last_ticks = self._last or (sequence, ticks)
        step = (sequence - last_sequence) & 0xFFFF
        self._ticks += (ticks - last_ticks) & 0xFFFFFFFF
        self._last = sequence, ticks
        if self._is_measuring:
            self.heard.add(self._ticks / _CLOCK_HZ, time.monotonic())
            self.heard.add_lost(max(0, step - 1))


async def _talk(callers: list[CrowdCaller], begin_s: float, end_s: float) -> None:
    """Each caller sends every 20 ms; a quarter of them every 5 ms."""
    packets, silence = encoded_talk()
    slots = [callers[at::_SLOTS] for at in range(_SLOTS)]
    loop = asyncio.get_running_loop()
    tick, first_s = 0, loop.time()
    while (due_s := first_s + tick * PTIME_S / _SLOTS) < end_s:
        if (wait_s := due_s - loop.time()) > 0:
            await asyncio.sleep(wait_s)
        now_s = loop.time()
        for caller in slots[tick % _SLOTS]:
            elapsed_s = due_s - begin_s
            is_talking = is_users_turn(caller.number, elapsed_s)
            at = int(elapsed_s % TURN_S / PTIME_S)
            caller.send(packets[at] if is_talking else silence, due_s, now_s)
            if elapsed_s >= 0:
                caller.measure()
        tick += 1
    for caller in callers:
        caller.stop()


async def _read_times() -> tuple[float, float]:
    line = await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    begin_s, end_s = map(float, line.split())
    return begin_s, end_s


async def run(server_url: str, first: int, count: int) -> None:
    """Call, talk, tell."""
    callers = [CrowdCaller(number) for number in range(first, first + count)]
    async with contextlib.AsyncExitStack() as stack:
        http = await stack.enter_async_context(aiohttp.ClientSession())
        for caller in callers:
            stack.push_async_callback(close_connection, caller.connection)
        async with asyncio.timeout(_CONNECT_TIMEOUT_S):
            for caller in callers:
                await caller.connect(http, server_url)
        print("connected", flush=True)
        begin_s, end_s = await _read_times()
        spent_s, from_s = time.process_time(), time.monotonic()
        await _talk(callers, begin_s, end_s)
        found = {
            "cores": (time.process_time() - spent_s) / (end_s - from_s),
            "lost": sum(caller.is_lost for caller in callers),
            "heard": [asdict(caller.heard) for caller in callers],
            "sent": [asdict(caller.sent) for caller in callers],
        }
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    asyncio.run(run(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))

"""A caller's end of a call: connected by aiortc, its packets sent and timed on the transport itself.

A packet leaves as soon as its frame is captured and is timed when it arrives, so that nothing of
what is measured is the caller's. It carries what browsers put before each packet of voice: the name
of its section and its loudness.
"""

from __future__ import annotations

import asyncio
import random
import struct
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final

import aiohttp
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.rtp import HeaderExtensions, RtpPacket, is_rtcp

from load.sounds import is_loud
from rtc.aiortc_hooks.receiver import close_connection, prefer_opus
from rtc.opus import OpusDecoder, OpusEncoder
from tests.fakes.openai_realtime import tone

RATE_HZ: Final = 24_000
PTIME_S: Final = 0.020
FRAME: Final = bytes(RATE_HZ // 50 * 2)
BURST: Final = tone(20)
_TICKS: Final = 960
_HEADER: Final = struct.Struct("!BBHII")
_EXTENSION: Final = struct.Struct("!HH")
_WITH_EXTENSION: Final = 0x90
# Loudness in -dBov (RFC 6464).
_SILENT_LEVEL: Final = 127
_BURST_LEVEL: Final = 12


class _MuteTrack(MediaStreamTrack):
    """Keeps aiortc's sender waiting: packets are sent past it."""

    kind = "audio"

    async def recv(self) -> Any:
        await asyncio.Event().wait()


class RtpCall:
    """One call. Sends a packet of silence every 20 ms, or a burst of sound when asked.

    Args:
        on_loud: called with the arrival time (monotonic seconds) of each loud packet
    """

    def __init__(self, on_loud: Callable[[float], None]) -> None:
        self.connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._on_loud = on_loud
        self._transceiver = self.connection.addTransceiver(_MuteTrack(), "sendrecv")
        prefer_opus(self._transceiver)
        self._channel = self.connection.createDataChannel("events")
        self._dtls: Any = self._transceiver.receiver.transport
        self._inner: Any = self._dtls.transport._connection
        self._encoder = OpusEncoder(RATE_HZ, is_dtx=False)
        self._decoder = OpusDecoder(RATE_HZ)
        self._silence = [self._encoder.encode(FRAME) for _ in range(5)][-1]
        self._sequence = random.randrange(30_000)
        self._count = 0
        self._payload_type = 0
        self._bursts: deque[asyncio.Future[float]] = deque()
        self._is_after_burst = False

    async def connect(self, http: aiohttp.ClientSession, url: str, fields: dict[str, Any]) -> None:
        """Post the offer, with further fields of its body, and wait until media may flow."""
        changed = asyncio.Event()
        self.connection.on("connectionstatechange", changed.set)
        await self.connection.setLocalDescription(await self.connection.createOffer())
        offer = {"type": "offer", "sdp": self.connection.localDescription.sdp}
        async with http.post(url, json=offer | fields) as response:
            body = await response.json()
        if "sdp" not in body:
            raise RuntimeError(f"{url}: {response.status} {body}")
        await self.connection.setRemoteDescription(RTCSessionDescription(body["sdp"], "answer"))
        while self.connection.connectionState != "connected":
            changed.clear()
            await changed.wait()
        self._payload_type = int(self._transceiver._codecs[0].payloadType or 0)
        self._take_long_way = self._inner.data_received
        self._inner.data_received = self._receive

    async def send_packets(self, first_s: float) -> None:
        """Send on a grid of exactly one packet time, until cancelled or disconnected."""
        loop = asyncio.get_running_loop()
        due_s = first_s
        while (pair := self._inner._nominated.get(1)) is not None:
            await asyncio.sleep(max(0.0, due_s - loop.time()))
            data = self._dtls._tx_srtp.protect(self._next_packet())
            pair.protocol.transport.sendto(data, pair.remote_addr)
            due_s += PTIME_S

    async def send_burst(self) -> float:
        """Send 20 ms of a loud tone as the next packet; returns when it was captured whole
        (monotonic seconds), just before it is encoded.
        """
        captured: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._bursts.append(captured)
        return await captured

    async def close(self) -> None:
        """Hang up."""
        await close_connection(self.connection)

    def _next_packet(self) -> bytes:
        level, payload = _SILENT_LEVEL, self._silence
        if self._bursts:
            self._bursts.popleft().set_result(time.monotonic())
            level, payload = _BURST_LEVEL, self._encoder.encode(BURST)
            self._is_after_burst = True
        elif self._is_after_burst:
            # The rest of the burst, which the encoder still holds.
            payload = self._encoder.encode(FRAME)
            self._is_after_burst = False
        number, self._count = self._count, self._count + 1
        header = _HEADER.pack(
            _WITH_EXTENSION,
            self._payload_type,
            (self._sequence + number) & 0xFFFF,
            number * _TICKS & 0xFFFFFFFF,
            self._transceiver.sender._ssrc,
        )
        return header + self._header_extension(level) + payload

    def _header_extension(self, level: int) -> bytes:
        is_voice = level != _SILENT_LEVEL
        values = HeaderExtensions(mid=self._transceiver.mid, audio_level=(is_voice, level))
        profile, value = self._dtls._rtp_header_extensions_map.set(values)
        return _EXTENSION.pack(profile, len(value) // 4) + bytes(value)

    def _receive(self, data: bytes, component: int) -> None:
        now_s = time.monotonic()
        if not 127 < data[0] < 192 or is_rtcp(data):
            self._take_long_way(data, component)
            return
        payload = RtpPacket.parse(self._dtls._rx_srtp.unprotect(data)).payload
        if payload and is_loud(self._decoder.decode(payload)):
            self._on_loud(now_s)

"""A call at the cost of its packets: real ICE, DTLS and SRTP, but without aiortc's media path.

The caller sends packets that were encoded before, and reads of a received one the header alone unless
it asks for more. For loads of many calls; a person's client is `rtc.channel`.
"""

from __future__ import annotations

import asyncio
import random
import struct
import time
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import pylibsrtp
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.rtp import HeaderExtensions, is_rtcp

from rtc.aiortc_hooks.receiver import close_connection, prefer_opus
from rtc.aiortc_hooks.rtp_parser import parse_rtp
from rtc.aiortc_hooks.srtp import fast_unprotect

CLOCK_HZ: Final = 48_000
"""Of RTP timestamps of Opus (RFC 7587)."""
PACKET_TICKS: Final = 960

_HEADER: Final = struct.Struct("!BBHII")
_WITH_EXTENSION: Final = 0x90
_SILENT_LEVEL: Final = 127
_MIN_RTP_BYTES: Final = 12


class Header(NamedTuple):
    """Fields that stand unencrypted at the beginning of a received packet."""

    sequence: int
    ticks: int
    ssrc: int


class _MuteTrack(MediaStreamTrack):
    """Keeps aiortc's sender waiting: packets are sent past it."""

    kind = "audio"

    async def recv(self) -> Any:
        await asyncio.Event().wait()


class BareCall:
    """One connection to one agent; made by `offer` and `accept`."""

    def __init__(self, on_packet: Callable[[Header, bytes, float], None]) -> None:
        """on_packet: gets the header of each packet, the packet itself for `payload`, and the
        monotonic time in seconds at which it came.
        """
        self.is_lost = False
        self._on_packet = on_packet
        self._connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._transceiver = self._connection.addTransceiver(_MuteTrack(), "sendrecv")
        prefer_opus(self._transceiver)
        self._dtls: Any = self._transceiver.receiver.transport
        self._inner: Any = self._dtls.transport._connection  # noqa: SLF001
        self._changed = asyncio.Event()
        self._connection.on("connectionstatechange", self._changed.set)
        self._count = 0
        self._first_sequence = random.randrange(30_000)
        self._payload_type = 0
        self._extension = b""
        self._decrypt: Callable[[bytes], bytes] | None = None

    async def offer(self) -> str:
        """Return the SDP of the offer, with candidates."""
        await self._connection.setLocalDescription(await self._connection.createOffer())
        return str(self._connection.localDescription.sdp)

    async def accept(self, answer_sdp: str) -> None:
        """Take the answer; return when media can flow.

        Raises:
            ConnectionError: no connection came about.
            ValueError: the answer cannot be used.
        """
        answer = RTCSessionDescription(answer_sdp, "answer")
        await self._connection.setRemoteDescription(answer)
        while (state := self._connection.connectionState) != "connected":
            if state in ("failed", "closed"):
                raise ConnectionError(f"the connection is {state}")
            self._changed.clear()
            await self._changed.wait()
        self._payload_type = int(self._transceiver._codecs[0].payloadType or 0)  # noqa: SLF001
        self._extension = self._header_extension()
        self._take_long_way = self._inner.data_received
        self._inner.data_received = self._receive

    def send(self, packet: bytes) -> None:
        """Send the next packet of 20 ms; sets `is_lost` once there is no way to the agent."""
        if self._connection.connectionState != "connected":
            self.is_lost = True
            return
        if (pair := self._inner._nominated.get(1)) is None:  # noqa: SLF001
            self.is_lost = True
            return
        number, self._count = self._count, self._count + 1
        header = _HEADER.pack(
            _WITH_EXTENSION,
            self._payload_type,
            (self._first_sequence + number) & 0xFFFF,
            number * PACKET_TICKS & 0xFFFFFFFF,
            self._transceiver.sender._ssrc,  # noqa: SLF001
        )
        data = self._dtls._tx_srtp.protect(header + self._extension + packet)  # noqa: SLF001
        pair.protocol.transport.sendto(data, pair.remote_addr)

    def payload(self, data: bytes) -> bytes:
        """Return the Opus payload of a received packet; empty if it is forged, repeated or broken."""
        if self._decrypt is None:
            self._decrypt = fast_unprotect(self._dtls._rx_srtp)  # noqa: SLF001
        try:
            return parse_rtp(self._decrypt(data)).payload
        except (pylibsrtp.Error, ValueError):
            return b""

    async def close(self) -> None:
        """Hang up. Idempotent."""
        await close_connection(self._connection)

    def _header_extension(self) -> bytes:
        """Return what browsers put before each packet of voice: its section's name and its loudness."""
        values = HeaderExtensions(mid=self._transceiver.mid, audio_level=(False, _SILENT_LEVEL))
        profile, value = self._dtls._rtp_header_extensions_map.set(values)  # noqa: SLF001
        return struct.pack("!HH", profile, len(value) // 4) + bytes(value)

    def _receive(self, data: bytes, component: int) -> None:
        is_rtp = len(data) >= _MIN_RTP_BYTES and 127 < data[0] < 192 and not is_rtcp(data)
        if not is_rtp:
            if data:  # aiortc would close the connection over an empty one
                self._take_long_way(data, component)
            return
        _, _, sequence, ticks, ssrc = _HEADER.unpack_from(data)
        self._on_packet(Header(sequence, ticks, ssrc), data, time.monotonic())

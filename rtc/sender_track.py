"""An aiortc track that hands out Opus packets which are encoded already."""

from __future__ import annotations

import asyncio
import fractions
from collections import deque
from typing import Any, Final

import av
from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError

_TIME_BASE: Final = fractions.Fraction(1, 48_000)
MAX_WAITING: Final = 25


class OpusTrack(MediaStreamTrack):
    """Bounded: when the connection does not take packets, the oldest are dropped and counted."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self.dropped = 0
        self._packets: deque[av.Packet[Any]] = deque()
        self._wake = asyncio.Event()

    def send(self, payload: bytes, ticks: int) -> None:
        """Queue one packet with its RTP time in 1/48000 s; never blocks."""
        packet = av.Packet(payload)
        packet.pts, packet.time_base = ticks, _TIME_BASE
        if len(self._packets) >= MAX_WAITING:
            self._packets.popleft()
            self.dropped += 1
        self._packets.append(packet)
        self._wake.set()

    async def recv(self) -> av.Packet[Any]:
        """The next packet, for aiortc's sender."""
        while not self._packets:
            if self.readyState != "live":
                raise MediaStreamError
            self._wake.clear()
            await self._wake.wait()
        return self._packets.popleft()

    def stop(self) -> None:
        """End the track; a waiting `recv` ends too."""
        super().stop()
        self._wake.set()

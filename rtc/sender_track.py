"""The line of encoded packets between our playout and one aiortc sender."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Any, Final

from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError

from rtc.playout_pace import PTIME_TICKS

MAX_WAITING: Final = 25


@dataclass(frozen=True)
class OpusPacket:
    """One encoded frame; `ticks` is its RTP time in 1/48000 s.

    is_spurt_start: it follows a silence in which nothing was sent, and so carries RTP's marker bit
    (RFC 3551, section 4.1): receivers may then adapt their delay without anybody hearing it.
    """

    payload: bytes
    ticks: int
    is_spurt_start: bool


class OpusTrack(MediaStreamTrack):
    """Bounded: when the connection does not take packets, the oldest are dropped and counted."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self.dropped = 0
        self._packets: deque[tuple[bytes, int]] = deque()
        self._next_ticks: int | None = None
        self._wake = asyncio.Event()

    def send(self, payload: bytes, ticks: int) -> None:
        """Queue one packet with its RTP time; never blocks."""
        if len(self._packets) >= MAX_WAITING:
            self._packets.popleft()
            self.dropped += 1
        self._packets.append((payload, ticks))
        self._wake.set()

    async def next_packet(self) -> OpusPacket:
        """The next packet to leave.

        Raises:
            MediaStreamError: the track has ended.
        """
        while not self._packets:
            if self.readyState != "live":
                raise MediaStreamError
            self._wake.clear()
            await self._wake.wait()
        payload, ticks = self._packets.popleft()
        is_spurt_start = ticks != self._next_ticks
        self._next_ticks = ticks + PTIME_TICKS
        return OpusPacket(payload, ticks, is_spurt_start)

    async def recv(self) -> Any:
        """Never used: what leaves is encoded already (`sender_adapter.feed_sender`)."""
        raise MediaStreamError

    def stop(self) -> None:
        """End the track; a waiting `next_packet` ends too."""
        super().stop()
        self._wake.set()

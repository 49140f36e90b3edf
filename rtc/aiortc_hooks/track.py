"""Queue of encoded packets between our playout and one aiortc sender."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError

from line.timing import PTIME_TICKS

MAX_WAITING: Final = 25


class OpusPacket(NamedTuple):
    """One encoded frame; `ticks` is its RTP time in 1/48000 s.

    is_spurt_start: it follows a silence in which nothing was sent, and so carries RTP's marker bit
    (RFC 3551, section 4.1): receivers may then adapt their delay inaudibly.
    """

    payload: bytes
    ticks: int
    is_spurt_start: bool


class OpusTrack(MediaStreamTrack):
    """Bounded: until a connection takes packets, the oldest are dropped and counted."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self.dropped = 0
        self.stopped = asyncio.Event()
        self._line: deque[tuple[bytes, int]] = deque()
        self._next_ticks: int | None = None
        self._on_packet: Callable[[OpusPacket], None] | None = None

    def send(self, payload: bytes, ticks: int) -> None:
        """Pass on one packet with its RTP time; never blocks."""
        if self._on_packet is not None:
            self._on_packet(self._packet(payload, ticks))
            return
        if len(self._line) >= MAX_WAITING:
            self._line.popleft()
            self.dropped += 1
        self._line.append((payload, ticks))

    def deliver_to(self, on_packet: Callable[[OpusPacket], None]) -> None:
        """From now on `on_packet` gets each packet at once, beginning with those that wait."""
        self._on_packet = on_packet
        while self._line:
            on_packet(self._packet(*self._line.popleft()))

    def _packet(self, payload: bytes, ticks: int) -> OpusPacket:
        is_spurt_start = ticks != self._next_ticks
        self._next_ticks = ticks + PTIME_TICKS
        return OpusPacket(payload, ticks, is_spurt_start)

    async def recv(self) -> Any:
        """Never used: what leaves is encoded already (`sender.feed_sender`)."""
        raise MediaStreamError

    def stop(self) -> None:
        """End the track; nothing is passed on any more."""
        super().stop()
        self._on_packet = _drop
        self.stopped.set()


def _drop(_packet: OpusPacket) -> None:
    """Discard a packet after the end of the track."""

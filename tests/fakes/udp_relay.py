"""A bad network on loopback: a UDP relay between two WebRTC peers that impairs their media.

Each peer gets the relay's address in place of the other's candidates (`rewrite_offer`,
`rewrite_answer`). Only RTP is impaired, so connections come up as fast as ever. What happens to the
n-th packet of a direction depends on the seed alone.
"""

from __future__ import annotations

import asyncio
import random
import re
from dataclasses import dataclass
from typing import Any, cast

Address = tuple[str, int]

_CANDIDATE = re.compile(r"^a=candidate:.*$\r?\n", re.MULTILINE)
_MAX_QUEUED_S = 0.5


@dataclass(frozen=True)
class Conditions:
    """What the network does. jitter_s: each packet's own extra delay, uniform from 0; reorders.

    has_reordering False keeps the order, as a busy wireless network does. rate_bps: packets queue
    for a line of this rate, for at most half a second. has_rtcp: reports suffer as the media does.
    """

    loss: float = 0.0
    delay_s: float = 0.0
    jitter_s: float = 0.0
    duplicates: float = 0.0
    has_reordering: bool = True
    rate_bps: float | None = None
    has_rtcp: bool = False
    seed: int = 1


class Path:
    """One direction. Pure: says after how long copies of a packet arrive."""

    def __init__(self, conditions: Conditions, salt: int = 0) -> None:
        self._conditions = conditions
        self._rng = random.Random(conditions.seed * 1000 + salt)
        self._line_free_s = 0.0
        self._last_arrival_s = 0.0

    def delays_s(self, size_bytes: int, now_s: float) -> list[float]:
        """One delay for each copy that arrives; none when the packet is lost."""
        conditions = self._conditions
        draws = [self._rng.random() for _ in range(4)]
        at_s = self._through_line(size_bytes, now_s)
        if draws[0] < conditions.loss or at_s is None:
            return []
        at_s += conditions.delay_s + draws[1] * conditions.jitter_s
        if not conditions.has_reordering:
            at_s = self._last_arrival_s = max(at_s, self._last_arrival_s)
        copies = [at_s - now_s]
        if draws[2] < conditions.duplicates:
            copies.append(at_s - now_s + draws[3] * 0.05)
        return copies

    def _through_line(self, size_bytes: int, now_s: float) -> float | None:
        if self._conditions.rate_bps is None:
            return now_s
        begin_s = max(now_s, self._line_free_s)
        if begin_s - now_s > _MAX_QUEUED_S:
            return None
        self._line_free_s = begin_s + size_bytes * 8 / self._conditions.rate_bps
        return self._line_free_s


def is_rtp(datagram: bytes) -> bool:
    """RTP and not STUN, DTLS or RTCP (RFC 7983, RFC 5761)."""
    return len(datagram) > 1 and 128 <= datagram[0] < 192 and not 64 <= datagram[1] & 0x7F < 96


def is_rtcp(datagram: bytes) -> bool:
    """A report on media."""
    return len(datagram) > 1 and 128 <= datagram[0] < 192 and 64 <= datagram[1] & 0x7F < 96


class UdpRelay:
    """Forwards between the one who offers and the one who answers."""

    def __init__(self, conditions: Conditions | None = None) -> None:
        self.forwarded = 0
        self.lost = 0
        self._sides = [_Side(self, 0), _Side(self, 1)]
        self._timers: set[asyncio.TimerHandle] = set()
        self.set_conditions(conditions or Conditions())

    def set_conditions(self, conditions: Conditions) -> None:
        """From now on the network is like this, both ways."""
        self._paths = [Path(conditions, salt) for salt in range(2)]
        self._has_rtcp = conditions.has_rtcp

    async def __aenter__(self) -> UdpRelay:
        loop = asyncio.get_running_loop()
        for side in self._sides:
            await loop.create_datagram_endpoint(
                lambda side=side: side,  # type: ignore[misc]
                local_addr=("127.0.0.1", 0),
            )
        return self

    async def __aexit__(self, *_: object) -> None:
        for timer in self._timers:
            timer.cancel()
        for side in self._sides:
            side.close()
            await side.closed.wait()

    def rewrite_offer(self, sdp: str) -> str:
        """What the answerer is to see."""
        return self._rewrite(sdp, 0)

    def rewrite_answer(self, sdp: str) -> str:
        """What the offerer is to see."""
        return self._rewrite(sdp, 1)

    def _rewrite(self, sdp: str, whose: int) -> str:
        """Note whose address it is, and put that of the socket that faces the other in its place."""
        found = re.search(r"^a=candidate:\S+ 1 udp \d+ 127\.0\.0\.1 (\d+) typ host", sdp, re.M)
        assert found is not None, "a description without a host candidate on 127.0.0.1"
        self._sides[whose].peer = ("127.0.0.1", int(found[1]))
        port = self._sides[1 - whose].port
        line = f"a=candidate:1 1 udp 2130706431 127.0.0.1 {port} typ host\r\n"
        first = True

        def replace(_match: re.Match[str]) -> str:
            nonlocal first
            kept, first = (line if first else ""), False
            return kept

        return _CANDIDATE.sub(replace, sdp)

    def handle(self, side: int, datagram: bytes) -> None:
        """A datagram of the peer of `side`."""
        delays_s = [0.0]
        if is_rtp(datagram) or (self._has_rtcp and is_rtcp(datagram)):
            now_s = asyncio.get_running_loop().time()
            delays_s = self._paths[side].delays_s(len(datagram), now_s)
            self.lost += not delays_s
        for delay_s in delays_s:
            if delay_s <= 0:
                self._deliver(1 - side, datagram)
            else:
                self._deliver_later(delay_s, 1 - side, datagram)

    def _deliver_later(self, delay_s: float, side: int, datagram: bytes) -> None:
        def deliver() -> None:
            self._timers.discard(timer)
            self._deliver(side, datagram)

        timer = asyncio.get_running_loop().call_later(delay_s, deliver)
        self._timers.add(timer)

    def _deliver(self, side: int, datagram: bytes) -> None:
        self.forwarded += 1
        self._sides[side].send(datagram)


class _Side(asyncio.DatagramProtocol):
    """The socket that faces one peer."""

    def __init__(self, relay: UdpRelay, index: int) -> None:
        self.peer: Address | None = None
        self.port = 0
        self.closed = asyncio.Event()
        self._relay = relay
        self._index = index
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # What asyncio gives here is one, but not by inheritance.
        self._transport = cast(asyncio.DatagramTransport, transport)
        self.port = transport.get_extra_info("sockname")[1]

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed.set()

    def datagram_received(self, data: bytes, addr: Any) -> None:
        if self.peer is not None and tuple(addr[:2]) == self.peer:
            self._relay.handle(self._index, data)

    def send(self, datagram: bytes) -> None:
        if self._transport is not None and self.peer is not None:
            self._transport.sendto(datagram, self.peer)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

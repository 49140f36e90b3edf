"""A bad network on loopback: a UDP relay between two WebRTC peers that impairs their media.

Each peer gets the relay's address in place of the other's candidates (`rewrite_offer`,
`rewrite_answer`). Only RTP is impaired, so connections come up as fast as ever. What happens to the
n-th packet of a direction depends on the seed alone.
"""

from __future__ import annotations

import asyncio
import re
from typing import Any, cast

from rtc.bad_network import Conditions, Path, is_rtcp, is_rtp

__all__ = ["Conditions", "Path", "UdpRelay", "is_rtcp", "is_rtp"]

Address = tuple[str, int]

_CANDIDATE = re.compile(r"^a=candidate:.*$\r?\n", re.MULTILINE)


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

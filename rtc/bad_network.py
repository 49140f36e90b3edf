"""A network that loses and delays media, for tests of agents: the fate of each packet is a seed's.

Only RTP suffers (and RTCP, if asked for), so that connections come up as fast as ever.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

MAX_DELAYED: Final = 2_000
"""Packets on their way in one direction; past it they are lost."""

_MAX_QUEUED_S: Final = 0.5


@dataclass(frozen=True)
class Conditions:
    """Faults of the network. jitter_s: each packet's own extra delay, uniform from 0; reorders.

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


class BadNetwork:
    """Between one participant and all others, both ways, inside of the participant's process.

    Attributes:
        forwarded: Packets of media that arrived, or are on their way.
        lost: Those that did not.
    """

    def __init__(self, conditions: Conditions | None = None) -> None:
        self.forwarded = 0
        self.lost = 0
        self._timers: set[asyncio.TimerHandle] = set()
        self.set_conditions(conditions or Conditions())

    def set_conditions(self, conditions: Conditions) -> None:
        """From now on the network is like this, both ways."""
        self._paths = (Path(conditions, 0), Path(conditions, 1))
        self._has_rtcp = conditions.has_rtcp

    def close(self) -> None:
        """Lose what is on its way."""
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()

    def is_affected(self, datagram: bytes) -> bool:
        """Return true for what the network may lose or delay."""
        return is_rtp(datagram) or (self._has_rtcp and is_rtcp(datagram))

    def carry(self, direction: int, datagram: bytes, deliver: Callable[[], None]) -> None:
        """Call `deliver` once for each copy that arrives. direction: 0 out, 1 in"""
        loop = asyncio.get_running_loop()
        delays_s = self._paths[direction].delays_s(len(datagram), loop.time())
        if not delays_s or len(self._timers) >= MAX_DELAYED:
            self.lost += 1
            return
        for delay_s in delays_s:
            self.forwarded += 1
            if delay_s <= 0:
                deliver()
            else:
                self._deliver_later(delay_s, deliver)

    def _deliver_later(self, delay_s: float, deliver: Callable[[], None]) -> None:
        def arrive() -> None:
            self._timers.discard(timer)
            deliver()

        timer = asyncio.get_running_loop().call_later(delay_s, arrive)
        self._timers.add(timer)

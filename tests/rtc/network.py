"""A network and a sender in one clockwork: what a jitter buffer gets, and what it makes of it."""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass, field

from line.timing import RTP_CLOCK_HZ
from rtc.receive.jitter_buffer import Conceal, Decode, Instruction, JitterBuffer, Restart

PTIME_S = 0.02
PTIME_TICKS = 960
_TRAVEL_S = 0.5


@dataclass(frozen=True)
class Network:
    """What happens to packets on the way. drift: how much slower than ours the sender's clock is."""

    loss: float = 0.0
    jitter_s: float = 0.0
    duplicates: float = 0.0
    has_reordering: bool = True
    drift: float = 0.0
    stall_s: tuple[float, float] = (0.0, 0.0)
    seed: int = 1

    def arrivals(self, spoken: list[int]) -> list[tuple[float, int]]:
        """(when, index in `spoken`) for packets sent at these multiples of 20 ms."""
        rng = random.Random(self.seed)
        found: list[tuple[float, int]] = []
        last_s = 0.0
        for index, slot in enumerate(spoken):
            at_s = self.sent_s(slot) + rng.random() * self.jitter_s
            if self.stall_s[0] <= self.sent_s(slot) < self.stall_s[1]:
                at_s = max(at_s, self.stall_s[1])
            if not self.has_reordering:
                at_s = last_s = max(at_s, last_s)
            if rng.random() >= self.loss:
                found.append((at_s, index))
            if rng.random() < self.duplicates:
                found.append((at_s + rng.random() * 0.2, index))
        return sorted(found)

    def sent_s(self, slot: int) -> float:
        """When the quickest packet of this slot arrives."""
        return _TRAVEL_S + slot * PTIME_S * (1 + self.drift)


@dataclass
class Listener:
    """Plays a buffer in time and notes everything. `is_shortening`: gives up delay where asked."""

    buffer: JitterBuffer = field(default_factory=JitterBuffer)
    is_shortening: bool = True
    # (when, instruction, length of the stream until then in seconds)
    steps: list[tuple[float, Instruction, float]] = field(default_factory=list)
    played: list[tuple[float, int]] = field(default_factory=list)
    shortened: int = 0
    length_s: float = 0.0
    # Which of the steps began a batch of made-up silence.
    batches: set[int] = field(default_factory=set)

    def run_until(self, now_s: float) -> None:
        """Let the buffer's own deadlines pass."""
        while (next_s := self.buffer.next_s) is not None and next_s < now_s:
            self.take(next_s)

    def take(self, now_s: float) -> None:
        """All that is due."""
        if self.buffer.is_idle:
            self.batches.add(len(self.steps))
        while (step := self.buffer.take(now_s)) is not None:
            if isinstance(step, Restart):
                continue
            ticks = step.ticks
            if isinstance(step, Decode):
                self.played.append((now_s, int.from_bytes(step.payload, "big")))
                if self.is_shortening and step.excess_ticks >= PTIME_TICKS:
                    self.shortened += 1
                    self.buffer.shorten(ticks // 3)
                    ticks -= ticks // 3
            self.length_s += ticks / RTP_CLOCK_HZ
            self.steps.append((now_s, step, self.length_s))

    @property
    def stalls_s(self) -> list[float]:
        """How long the stream paused between any two steps, but before batches of silence."""
        times = [now_s for now_s, _, _ in self.steps]
        pauses_s = [later - sooner for sooner, later in itertools.pairwise(times)]
        return [s for number, s in enumerate(pauses_s, 1) if number not in self.batches]

    @property
    def lead_s(self) -> list[float]:
        """How much of the stream there was beyond the time that had passed, at each step."""
        return [length_s - now_s for now_s, _, length_s in self.steps]

    @property
    def filled(self) -> int:
        """Frames made up while nothing came, after the first packet."""
        began_s = self.played[0][0] if self.played else 0.0
        return sum(
            isinstance(step, Conceal) and not step.is_lost and now_s > began_s
            for now_s, step, _ in self.steps
        )


def talk(network: Network, spoken: list[int], listener: Listener, first_sequence: int = 0) -> None:
    """Send a packet in each slot of `spoken` through the network to the listener, from time 0."""
    listener.buffer.start_filling(0.0)
    for now_s, index in network.arrivals(spoken):
        listener.run_until(now_s)
        if listener.buffer.is_idle:
            listener.take(now_s)
        listener.buffer.add(
            (first_sequence + index) % 2**16,
            (spoken[index] * PTIME_TICKS) % 2**32,
            index.to_bytes(4, "big"),
            PTIME_TICKS,
            now_s,
        )
        listener.take(now_s)
    listener.run_until(network.sent_s(spoken[-1]) + 1.0)


def lateness_s(network: Network, spoken: list[int], listener: Listener) -> list[float]:
    """How much later than on the quickest way each packet was played."""
    return [now_s - network.sent_s(spoken[index]) for now_s, index in listener.played]

"""The jitter buffer: packets as they arrive in, decoder instructions in order out. Pure.

On a clean network it adds no delay: a packet in order is released on arrival. A gap is waited for
only as long as reordering was seen to take lately (0 until then), never over `MAX_WAIT_S`; then
the loss is made good from the next packet (Opus FEC) or concealed, and the stream goes on. Audio
held back is released at once, so that delay never accumulates.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

RTP_CLOCK_HZ: Final = 48_000
MAX_WAIT_S: Final = 0.120
MAX_HELD: Final = 64
# A sequence number this far off is no late or early packet: the sender started anew.
MAX_JUMP: Final = 1000
MAX_CONCEALED: Final = 5
_WAIT_HALF_LIFE_S: Final = 5.0
_WAIT_MARGIN_S: Final = 0.005
_DEFAULT_TICKS: Final = 960
_MAX_PACKET_TICKS: Final = 5760


@dataclass(frozen=True)
class Decode:
    """Decode `payload`, sent at the RTP time `timestamp`."""

    payload: bytes
    timestamp: int


@dataclass(frozen=True)
class Recover:
    """Rebuild a lost packet of `ticks` (1/48000 s) from the one after it, which follows."""

    next_payload: bytes
    ticks: int


@dataclass(frozen=True)
class Conceal:
    """Continue the sound over a lost packet of `ticks` (1/48000 s)."""

    ticks: int


@dataclass(frozen=True)
class Restart:
    """The sender started anew: forget the decoder's past."""


Instruction = Decode | Recover | Conceal | Restart


@dataclass
class JitterStatistics:
    """Counts since the start. Late: came after its place had been made good."""

    received: int = 0
    lost: int = 0
    late: int = 0
    duplicate: int = 0
    reordered: int = 0
    restarts: int = 0


@dataclass(frozen=True)
class _Held:
    sequence: int
    timestamp: int
    payload: bytes
    arrived_s: float


class JitterBuffer:
    """One sender's packets. Sequence numbers are unwrapped inside, time comes as an argument."""

    def __init__(self, statistics: JitterStatistics | None = None) -> None:
        """statistics: counts to go on with, when this buffer follows another."""
        self.statistics = statistics or JitterStatistics()
        # Unwrapped sequence number that is released next; None before the first packet.
        self._next: int | None = None
        self._last_timestamp = 0
        self._packet_ticks = _DEFAULT_TICKS
        self._held: dict[int, _Held] = {}
        # When the packet after a lost one came, to learn how late a late packet is. Bounded.
        self._skipped_at: dict[int, float] = {}
        self._wait_s = 0.0
        self._wait_set_at_s = 0.0

    def wait_s(self, now_s: float) -> float:
        """How long a gap is waited for at present."""
        age_s = max(0.0, now_s - self._wait_set_at_s)
        wait_s = self._wait_s * 0.5 ** (age_s / _WAIT_HALF_LIFE_S)
        return wait_s if wait_s >= 0.001 else 0.0

    @property
    def deadline_s(self) -> float | None:
        """When `poll` must be called: the gap at the head is then given up. None without a gap."""
        if not self._held:
            return None
        first_s = min(held.arrived_s for held in self._held.values())
        return first_s + self.wait_s(first_s)

    def add(
        self, sequence_number: int, timestamp: int, payload: bytes, now_s: float
    ) -> list[Instruction]:
        """Take a packet that arrived at `now_s`; what can be played now is returned."""
        self.statistics.received += 1
        instructions: list[Instruction] = []
        sequence = self._unwrap(sequence_number)
        if sequence is None:
            instructions = self._restart(sequence_number)
            sequence = sequence_number
        assert self._next is not None
        if sequence < self._next:
            self._learn_late(sequence, now_s)
            return instructions
        if sequence in self._held:
            self.statistics.duplicate += 1
            return instructions
        self._learn_reordered(sequence, now_s)
        self._held[sequence] = _Held(sequence, timestamp, payload, now_s)
        return instructions + self.poll(now_s)

    def poll(self, now_s: float) -> list[Instruction]:
        """Release what is in order, and give up gaps that were waited for long enough."""
        instructions = list(self._release_in_order())
        while (deadline_s := self.deadline_s) is not None:
            if now_s < deadline_s and len(self._held) < MAX_HELD:
                break
            instructions += self._give_up_gap()
            instructions += self._release_in_order()
        return instructions

    def _unwrap(self, sequence_number: int) -> int | None:
        """The number nearest to the expected one, or None when it is too far off."""
        if self._next is None:
            self._next = sequence_number
        delta = (sequence_number - self._next + 0x8000) % 0x10000 - 0x8000
        return self._next + delta if abs(delta) <= MAX_JUMP else None

    def _restart(self, sequence_number: int) -> list[Instruction]:
        self.statistics.restarts += 1
        self._held.clear()
        self._skipped_at.clear()
        self._next = sequence_number
        return [Restart()]

    def _release_in_order(self) -> Iterator[Instruction]:
        while self._next is not None and (held := self._held.pop(self._next, None)) is not None:
            ticks = (held.timestamp - self._last_timestamp) % 2**32
            if 0 < ticks <= _MAX_PACKET_TICKS:
                self._packet_ticks = ticks
            self._last_timestamp = held.timestamp
            self._next += 1
            yield Decode(held.payload, held.timestamp)

    def _give_up_gap(self) -> Iterator[Instruction]:
        assert self._next is not None
        first = self._held[min(self._held)]
        missing = first.sequence - self._next
        self.statistics.lost += missing
        for sequence in range(self._next, first.sequence)[-MAX_HELD:]:
            self._skipped_at[sequence] = first.arrived_s
        self._forget_old_skips()
        ticks = self._lost_ticks(first.timestamp, missing)
        self._last_timestamp = (first.timestamp - ticks) % 2**32
        self._next = first.sequence
        yield from [Conceal(ticks)] * min(missing - 1, MAX_CONCEALED)
        yield Recover(first.payload, ticks)

    def _lost_ticks(self, next_timestamp: int, missing: int) -> int:
        """Length of each lost packet; after a silence (DTX) the last known length."""
        between = (next_timestamp - self._last_timestamp) % 2**32
        each = between // (missing + 1)
        return each if 120 <= each <= _MAX_PACKET_TICKS else self._packet_ticks

    def _forget_old_skips(self) -> None:
        while len(self._skipped_at) > 4 * MAX_HELD:
            del self._skipped_at[next(iter(self._skipped_at))]

    def _learn_late(self, sequence: int, now_s: float) -> None:
        skipped_at_s = self._skipped_at.pop(sequence, None)
        if skipped_at_s is None:
            self.statistics.duplicate += 1
            return
        self.statistics.late += 1
        self._learn_wait(now_s - skipped_at_s, now_s)

    def _learn_reordered(self, sequence: int, now_s: float) -> None:
        later = [held.arrived_s for held in self._held.values() if held.sequence > sequence]
        if later:
            self.statistics.reordered += 1
            self._learn_wait(now_s - min(later), now_s)

    def _learn_wait(self, needed_s: float, now_s: float) -> None:
        wanted_s = min(needed_s + _WAIT_MARGIN_S, MAX_WAIT_S)
        self._wait_s = max(self.wait_s(now_s), wanted_s)
        self._wait_set_at_s = now_s

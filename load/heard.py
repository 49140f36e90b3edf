"""Judges what comes of an agent's voice: late and lost frames, and gaps as a listener hears them. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from load.lateness import LATE_S, Lateness

CLOCK_HZ: Final = 48_000
FRAME_TICKS: Final = 960
PLAYOUT_DELAY_S: Final = 0.06
"""Any client holds back as much against jitter; audio that comes later is a gap."""

_REORDERED: Final = 0x8000


@dataclass
class HeardFigures:
    """Sums since they were taken last. frames: lost ones included; late: likewise, by `Lateness` within a
    stretch of talk.
    """

    frames: int = 0
    late: int = 0
    lost: int = 0
    gaps: int = 0
    gap_ms: float = 0.0
    worst_ms: float = 0.0

    def add(self, other: HeardFigures) -> None:
        """Add the figures of another stream or time; `worst_ms` is the worst of both."""
        self.frames += other.frames
        self.late += other.late
        self.lost += other.lost
        self.gaps += other.gaps
        self.gap_ms += other.gap_ms
        self.worst_ms = max(self.worst_ms, other.worst_ms)


@dataclass
class HeardStream:
    """Judges packets of 20 ms by the numbers of their headers.

    Time in which the sender says nothing (DTX) is no gap: its timestamps go on, its sequence numbers do
    not.
    """

    _figures: HeardFigures = field(default_factory=HeardFigures)
    _lateness: Lateness = field(default_factory=Lateness)
    _ssrc: int | None = None
    _sequence: int = 0
    _last_ticks: int = 0
    _ticks: int = 0
    # When the next frame of this stretch of talk must be there, played `PLAYOUT_DELAY_S` after its first.
    _dry_s: float | None = None

    def add(self, ssrc: int, sequence: int, ticks: int, now_s: float) -> None:
        """Take the packet that came at `now_s` (monotonic seconds)."""
        if ssrc != self._ssrc:
            # Another process of the agent: its numbers begin anew.
            self._ssrc, self._sequence, self._last_ticks = ssrc, (sequence - 1) & 0xFFFF, ticks
            self._lateness, self._ticks, self._dry_s = Lateness(), 0, None
        step = (sequence - self._sequence) & 0xFFFF
        if step == 0:
            return
        if step >= _REORDERED:
            # It was counted as lost when its successor came.
            self._figures.lost = max(0, self._figures.lost - 1)
            return
        ticks_on = (ticks - self._last_ticks) & 0xFFFFFFFF
        self._sequence, self._last_ticks = sequence, ticks
        self._ticks += ticks_on
        self._judge(step - 1, ticks_on, now_s)

    def _judge(self, lost: int, ticks_on: int, now_s: float) -> None:
        figures = self._figures
        silent_ticks = ticks_on - FRAME_TICKS * (lost + 1)
        if silent_ticks > 0:
            # Each stretch of talk is a grid of its own. The fade that ends an interrupted one leaves before
            # its time, and against it every later frame would look up to 20 ms late.
            self._lateness = Lateness()
        late_s = self._lateness.add(self._ticks / CLOCK_HZ, now_s)
        figures.frames += 1 + lost
        figures.late += (late_s > LATE_S) + lost
        figures.lost += lost
        figures.worst_ms = max(figures.worst_ms, late_s * 1000)
        self._judge_gap(silent_ticks, ticks_on, now_s)

    def _judge_gap(self, silent_ticks: int, ticks_on: int, now_s: float) -> None:
        if self._dry_s is None or silent_ticks > 0:
            self._dry_s = now_s + PLAYOUT_DELAY_S
            return
        self._dry_s += ticks_on / CLOCK_HZ
        if now_s > self._dry_s:
            self._figures.gaps += 1
            self._figures.gap_ms += (now_s - self._dry_s) * 1000
            self._dry_s = now_s

    def take(self) -> HeardFigures:
        """Return the figures since the last call."""
        figures, self._figures = self._figures, HeardFigures()
        return figures
